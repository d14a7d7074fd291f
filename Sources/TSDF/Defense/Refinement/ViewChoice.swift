import Kernels

/// Draws what to look through next: as often as the square of how far what is reached there is from the goal ("hardest first", as
/// in expectation over the hardest transformations).
package struct ViewChoice {
  /// How far from the goal each view last was, 0 where it is reached; nil where it was not looked at yet.
  private var needs: [Float?]

  /// How often what is reached is looked at all the same.
  private static let leastWeight: Float = 0.01

  package init(count: Int) { needs = [Float?](repeating: nil, count: count) }

  /// Whether nothing is left to reach through any view, as far as is known.
  var isReached: Bool { needs.allSatisfy { $0.map { $0 <= 0 } ?? false } }

  /// So many different ones, or all there are.
  /// - Parameter first: those that the first of them is one of; nil for any.
  package func draw(_ count: Int, first: [Int]? = nil, random: inout RandomStream) -> [Int] {
    var drawn: [Int] = []
    while drawn.count < min(count, needs.count) {
      let candidates = drawn.isEmpty ? first ?? Array(needs.indices) : needs.indices.filter { !drawn.contains($0) }
      drawn.append(draw(among: candidates, random: &random))
    }
    return drawn
  }

  private func draw(among candidates: [Int], random: inout RandomStream) -> Int {
    // What was not looked at yet may be as far as any.
    let most = max(1, needs.compactMap { $0 }.max() ?? 1)
    let weights = candidates.map { max((needs[$0] ?? most) * (needs[$0] ?? most), Self.leastWeight) }
    var rest = random.unit() * weights.reduce(0, +)
    for (view, weight) in zip(candidates, weights) {
      rest -= weight
      if rest < 0 { return view }
    }
    return candidates[candidates.count - 1]
  }

  package mutating func note(_ view: Int, need: Float) { needs[view] = need }
}
