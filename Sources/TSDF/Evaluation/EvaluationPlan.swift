import Networks

/// What an evaluation measures of each photo: all that its results are read by.
public struct EvaluationPlan: Codable, Equatable, Sendable {
  struct Model: Codable, Equatable, Sendable {
    /// As it is reported, and the kind of model.
    var name: String, model: String
  }

  struct Variant: Codable, Equatable, Sendable {
    var name: String, refineSteps: Int
    /// See `ProtectionVariant`.
    var targets: Set<String>?
  }

  var generators: [Model]
  var detectors: [String]
  var measuresFID: Bool
  var variants: [Variant]
  /// As a `PurificationRecipe` is written; nil for none.
  var attacks: [String?]
}

/// What one photo gave.
public struct MeasuredPhoto: Codable, Sendable {
  /// Its number among all photos.
  public let index: Int
  /// Inception's features of each generator's edits of the original; empty without it.
  let cleanFeatures: [[[Float]]]
  /// For each variant, for each attack; none for a photo without a face.
  let tallies: [[EvaluationTally]]

  /// Whether it measures what a plan says.
  func follows(_ plan: EvaluationPlan) -> Bool {
    tallies.isEmpty
      || cleanFeatures.count == plan.generators.count && tallies.count == plan.variants.count
        && tallies.allSatisfy {
          $0.count == plan.attacks.count
            && $0.allSatisfy { $0.isOf(generators: plan.generators.count, detectors: plan.detectors.count) }
        }
  }
}

/// What all photos gave, added up.
public struct EvaluationSum: Sendable {
  private let plan: EvaluationPlan
  private var tallies: [[EvaluationTally]]
  private var cleanFeatures: [[[Float]]]
  /// Photos without a face.
  public private(set) var withoutFace = 0

  /// The sum of no photos yet.
  public init(_ plan: EvaluationPlan) {
    self.plan = plan
    let none = EvaluationTally(generators: plan.generators.count, detectors: plan.detectors.count)
    tallies = plan.variants.map { _ in plan.attacks.map { _ in none } }
    cleanFeatures = plan.generators.map { _ in [] }
  }

  /// Whether a photo was measured for what the plan says.
  public func takes(_ photo: MeasuredPhoto) -> Bool { photo.follows(plan) }

  /// Adds a photo that it `takes`; the photos in their order.
  public mutating func add(_ photo: MeasuredPhoto) {
    if photo.tallies.isEmpty { withoutFace += 1 }
    for (i, attacks) in photo.tallies.enumerated() {
      for (j, tally) in attacks.enumerated() { tallies[i][j].add(tally) }
    }
    for (i, features) in photo.cleanFeatures.enumerated() { cleanFeatures[i] += features }
  }

  /// One report a variant and attack, the plain one of each variant first.
  public var reports: [VariantReport] {
    zip(plan.variants, tallies).flatMap { variant, tallies in
      zip(plan.attacks, tallies).map { $1.report(variant, attack: $0, plan, cleanFeatures: cleanFeatures) }
    }
  }
}
