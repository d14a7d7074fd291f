/// How a face is refined at first, and each time that it is still found in the picture as it is saved.
package struct RefinementRound: Sendable {
  /// How much generators count. At 0.1 in the second round their edits of faces in photos were nearly all left whole, at 1 more faces came
  /// back in crops; in the last a face must be hidden from several detectors too.
  let generatorWeight: Float
  /// The share of the steps that were asked for: what goes on from a perturbation needs fewer.
  private let stepShare: Float
  /// Whether faces must be hidden at last: nothing is invented, and each step looks at pieces as they are.
  let isHidingFirst: Bool

  /// One after the other.
  package static let all = [
    RefinementRound(generatorWeight: 1, stepShare: 1, isHidingFirst: false),
    RefinementRound(generatorWeight: 0.4, stepShare: 0.4, isHidingFirst: true),
    RefinementRound(generatorWeight: 0.1, stepShare: 0.4, isHidingFirst: true),
  ]
  /// The only one of a picture that is not looked at as it is saved.
  package static let first = all[0]

  /// The steps of this round, of so many that were asked for.
  package func steps(of steps: Int) -> Int { Int((Float(steps) * stepShare).rounded(.up)) }
}
