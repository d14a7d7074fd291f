import Kernels
import Networks

/// Stage 1 of the paper (method sections 2 and 3), in the steps that `tsdf`, `interruption` and FOUND are made of: the
/// ensemble of the generators' features, and their weighted end-to-end losses.
struct InterruptionStage {
  /// Of the end-to-end steps.
  private var velocity: Tensor
  /// Running averages of the generators' end-to-end losses, [generators] on the device: they set the dynamic weights.
  private var averageLosses: Tensor

  init(_ run: CraftingRun) throws {
    velocity = try run.zeros()
    averageLosses = try Tensor(repeating: 0, shape: [max(1, run.generators.count)], device: run.device)
  }

  var state: [String: Tensor] {
    get { ["velocity": velocity, "average_losses": averageLosses] }
    set {
      velocity = newValue["velocity"] ?? velocity
      averageLosses = newValue["average_losses"] ?? averageLosses
    }
  }

  /// What the generators make of a batch's clean images under random edits.
  struct Targets {
    fileprivate let images: Tensor
    fileprivate let conditions: [Condition]
    fileprivate let clean: [GeneratorOutput]
    /// The clean features on one grid.
    fileprivate let map: Tensor

    init(_ batch: CraftingBatch, _ run: CraftingRun) throws {
      images = batch.images
      let conditions = try run.generators.map { try run.drawCondition(for: $0, batch) }
      clean = try zip(run.generators, conditions).map { try $0.plain(batch.images, condition: $1, run.slicer) }
      map = try run.slicer.summed([Interruption.map(clean.map(\.feature))])[0]
      self.conditions = conditions
    }
  }

  /// Steps against the ensemble of the features.
  /// - Parameter enhancement: the weight of contrast enhancement.
  func featureSteps(_ targets: Targets, enhancement: Float, _ run: CraftingRun) throws {
    let recipe = run.recipe
    for _ in 0..<recipe.featureSteps {
      let leaf = run.perturbation.requiringGradient()
      let input = try run.diversity(targets.images + leaf, random: &run.random)
      // The enhancement's attention is among the samples of the whole batch.
      let gradient = try run.slicer.gradient(through: input, to: leaf) { images, range in
        try Interruption.map(
          zip(run.generators, targets.conditions).map { try $0(images, condition: $1.slice(range)).feature })
      } of: {
        try Interruption.featureLoss(
          clean: targets.map, adversarial: $0, enhancement: enhancement,
          temperature: recipe.enhancementTemperature, strength: recipe.enhancementStrength)
      }
      try move(gradient, velocity: run.zeros(), momentum: 0, run)
    }
  }

  /// One step against the weighted losses of all generators, and new weights.
  /// - Parameters:
  ///   - outputShare: of the outputs' distance in the loss; the rest is the features'.
  ///   - momentum: nil for a step by the gradient alone.
  mutating func endToEndStep(_ targets: Targets, outputShare: Float, momentum: Float?, _ run: CraftingRun) throws {
    let recipe = run.recipe
    let leaf = run.perturbation.requiringGradient()
    let input = try run.diversity(targets.images + leaf, random: &run.random)
    let weights = try (averageLosses / recipe.weightTemperature).softmax(axis: 0)
    let (gradient, losses) = try run.slicer.gradient(through: input, to: leaf) { images, range in
      let losses = try run.generators.indices.map { i in
        let made = try run.generators[i](images, condition: targets.conditions[i].slice(range))
        return try Interruption.endToEndLoss(
          clean: targets.clean[i].slice(range), adversarial: made, outputShare: outputShare
        ).reshaped([1])
      }
      let joined = try Tensor.concatenated(losses, axis: 0)
      return (try (joined * weights).sum(), [joined])
    }
    try move(gradient, velocity: momentum == nil ? run.zeros() : velocity, momentum: momentum ?? 0, run)
    averageLosses = try averageLosses * recipe.weightMemory + losses[0] * (1 - recipe.weightMemory)
  }

  /// A sign step by the gradient over its mean magnitude.
  private func move(_ gradient: Tensor, velocity: Tensor, momentum: Float, _ run: CraftingRun) throws {
    let scale = try (gradient.abs().mean() + 1e-12).reciprocal().reshaped([1])
    try run.move(
      gradient, scale: scale, velocity: velocity, stepSize: run.recipe.stepSize, momentum: momentum)
  }
}

/// A method that interrupts generators by these steps alone.
protocol InterruptingMethod: CraftingMethod {
  var stage: InterruptionStage { get set }
}

extension InterruptingMethod {
  static var generators: CraftMethod.ModelUse { .required }
  static var detectors: CraftMethod.ModelUse { .none }

  var state: [String: Tensor] {
    get { stage.state }
    set { stage.state = newValue }
  }
}
