/// Says when training has gone astray: a loss is no number, or far beyond what it was.
package struct DivergenceCheck: Sendable {
  private let limit: Float
  /// The largest magnitude of each loss among the first reports, at least 1.
  private var usual: [String: Float] = [:]
  private var reports = 0
  private let settling = 5

  /// - Parameter limit: how many times what it was among the first five reports, and at least 1, a loss may become.
  package init(limit: Float) { self.limit = limit }

  /// Takes in a report of losses.
  /// - Returns: what is wrong; nil where nothing is.
  package mutating func complaint(_ losses: [(name: String, value: Float)]) -> String? {
    for (name, value) in losses {
      guard value.isFinite else { return "\(name) is \(value)" }
      if reports < settling {
        usual[name] = max(usual[name] ?? 1, abs(value))
      } else if let usual = usual[name], abs(value) > limit * usual {
        return "\(name) is \(value), over \(limit) times what it was at first"
      }
    }
    reports += 1
    return nil
  }
}
