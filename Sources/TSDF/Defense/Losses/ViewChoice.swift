import Kernels

/// Draws what to look through next: as often as the square of how far what is reached there is from the goal ("hardest first", as
/// in expectation over the hardest transformations). What was seen is read from the device now and then, all at once.
struct ViewChoice {
  /// How far from the goal each view last was, 1 where it was not looked at yet.
  private(set) var needs: [Float]
  private var seen: [(view: Int, need: Tensor)] = []

  /// How often what is reached is looked at all the same.
  private static let leastWeight: Float = 0.01

  init(count: Int) { needs = [Float](repeating: 1, count: count) }

  /// Whether nothing is left to reach through any view, as far as was read.
  var isReached: Bool { needs.allSatisfy { $0 <= 0 } }

  func draw(random: inout RandomStream) -> Int {
    let weights = needs.map { max($0 * $0, Self.leastWeight) }
    var rest = random.unit() * weights.reduce(0, +)
    for (view, weight) in weights.enumerated() {
      rest -= weight
      if rest < 0 { return view }
    }
    return weights.count - 1
  }

  /// - Parameters:
  ///   - need: of one element, 0 where the goal is reached.
  ///   - isRead: whether to read all that was noted since; waits for queued work.
  mutating func note(_ view: Int, need: Tensor, settling isRead: Bool) throws {
    seen.append((view, need))
    guard isRead else { return }
    let values = try Tensor.concatenated(seen.map { try $0.need.reshaped([1]) }, axis: 0).values()
    for ((view, _), need) in zip(seen, values) { needs[view] = need }
    seen = []
  }
}
