import Foundation
import Kernels

/// A mean and its 95% interval.
public struct Estimate: Codable, Equatable, Sendable {
  /// The mean, and where the interval begins and ends.
  public var mean: Double, low: Double, high: Double
  /// How many values it is of.
  public var count: Int
}

/// The mean of values in groups, and its 95% interval by the bootstrap (Efron, 1979; percentiles): groups, and values in each, are
/// drawn anew with replacement. The same values give the same interval.
/// - Parameter groups: values by seed, say; nil where there is none. Values at one place in all groups, a face's, go together.
/// - Returns: nil where there is no value.
package func bootstrap(_ groups: [[Double?]], rounds: Int = 2000) -> Estimate? {
  let all = groups.flatMap { $0.compactMap { $0 } }
  guard !all.isEmpty else { return nil }
  let places = groups.map(\.count).max()!
  var random = RandomStream(seed: 1)
  var means: [Double] = []
  for _ in 0..<rounds {
    var (sum, count) = (0.0, 0)
    let drawn = groups.indices.map { _ in random.integer(below: groups.count) }
    for _ in 0..<places {
      let place = random.integer(below: places)
      for group in drawn where place < groups[group].count {
        guard let value = groups[group][place] else { continue }
        sum += value
        count += 1
      }
    }
    if count > 0 { means.append(sum / Double(count)) }
  }
  means.sort()
  func percentile(_ share: Double) -> Double { means[min(means.count - 1, Int(share * Double(means.count)))] }
  return Estimate(
    mean: all.reduce(0, +) / Double(all.count), low: percentile(0.025), high: percentile(0.975), count: all.count)
}
