import Kernels
import Networks

extension CraftMethod {
  /// The paper's two stages in turn, with the intensity-separation mask.
  public static let tsdf = CraftMethod(TwoStageMethod.self)
}

/// Zheng et al., "Boosting Active Defense Persistence" (2025): all passes of interruption, then as many in which each batch
/// also poisons, where the mask of stage 1's perturbation allows it.
struct TwoStageMethod: CraftingMethod {
  static let name = "tsdf"
  static let generators = CraftMethod.ModelUse.required, detectors = CraftMethod.ModelUse.required
  static let stages = 2
  static let laterState = ["stage_one"]

  private var stage: InterruptionStage
  /// Stage 1's perturbation, from which stage 2 separates intensities.
  private var stageOne: Tensor?

  init(_ run: CraftingRun) throws { stage = try InterruptionStage(run) }

  var state: [String: Tensor] {
    get {
      var state = stage.state
      state["stage_one"] = stageOne
      return state
    }
    set {
      stage.state = newValue
      stageOne = newValue["stage_one"]
    }
  }

  mutating func step(_ batch: CraftingBatch, _ run: CraftingRun) throws {
    let isSecond = run.step >= run.recipe.passes * run.batchesAPass
    let base = isSecond ? stageOne ?? run.perturbation : nil
    stageOne = base
    let targets = try InterruptionStage.Targets(batch, run)
    try stage.featureSteps(targets, enhancement: run.recipe.enhancementWeight, run)
    if let base { try poison(batch, stageOne: base, run) }
    try stage.endToEndStep(targets, outputShare: run.recipe.outputShare, momentum: run.recipe.momentum, run)
  }

  /// The poisoning block: Adam with cosine annealing on a masked addition to W0; W = clip(W0 + the best one).
  private func poison(_ batch: CraftingBatch, stageOne: Tensor, _ run: CraftingRun) throws {
    let recipe = run.recipe
    let mask =
      recipe.usesMask
      ? try intensitySeparationMask(stageOne, tau: recipe.tau, beta: recipe.beta)
      : try Tensor(repeating: 1, shape: run.perturbation.shape, device: run.device)
    var delta = try run.random.normal(run.perturbation.shape, device: run.device) * 0.001 * mask
    var best: (loss: Tensor, delta: Tensor)?
    let optimizer = Adam(learningRate: recipe.poisonRate)
    let targets = try PoisonTargets(batch, run)
    for step in 0..<recipe.poisonSteps {
      optimizer.learningRate = cosineAnnealedRate(recipe.poisonRate, step: step, of: recipe.poisonSteps)
      let leaf = delta.requiringGradient()
      let input = try batch.images + (run.perturbation + leaf).clamped(to: -recipe.epsilon...recipe.epsilon)
      let (gradient, outputs) = try run.slicer.gradient(through: input, to: leaf) { images, range in
        let losses = try targets.losses(images, range, run)
        return (losses.total, [losses.output])
      }
      // The best delta so far is chosen on the device: no read-back in the loop.
      let reached = try outputs[0].reshaped([1])
      if let previous = best {
        let better = try previous.loss.greater(than: reached)
        best = (
          try reached * better + previous.loss * (1 - better), try delta * better + previous.delta * (1 - better)
        )
      } else {
        best = (reached, delta)
      }
      let norm = try gradient.squared().sum().sqrt()
      let clip = try (norm + 1e-6).reciprocal().clamped(to: 0...1).reshaped([1])
      let next = try delta.copy()
      try optimizer.step([("delta", next, gradient)], scale: clip)
      delta = try (next * mask).clamped(to: -recipe.poisonBound...recipe.poisonBound)
    }
    guard let best else { return }
    run.perturbation = try (run.perturbation + best.delta).clamped(to: -recipe.epsilon...recipe.epsilon)
  }
}

/// What stage 2 drives the detectors' features and outputs of a batch to.
private struct PoisonTargets {
  let known: [DetectorTargets]
  /// Feature levels of the clean images, and noise of their shapes: by detector, by level.
  let clean: [[Tensor]], noise: [[Tensor]]
  /// The mean magnitude of each clean level over the whole batch.
  let magnitudes: [[Tensor]]

  init(_ batch: CraftingBatch, _ run: CraftingRun) throws {
    known = try run.detectorTargets(batch)
    let clean = try run.detectors.map { detector in
      try run.slicer.map(count: batch.indices.count) {
        try Self.features(detector.heads(batch.images.slice($0)), run)
      }
    }
    noise = try clean.map { try $0.map { try run.random.normal($0.shape, device: run.device) } }
    magnitudes = try clean.map { try run.slicer.summed($0.map { try $0.abs().mean() }) }
    self.clean = clean
  }

  /// The losses of protected images over all detectors: in all, and of the outputs alone.
  func losses(_ images: Tensor, _ range: Range<Int>, _ run: CraftingRun) throws -> (total: Tensor, output: Tensor) {
    let recipe = run.recipe
    var total: Tensor?
    var output: Tensor?
    for (index, detector) in run.detectors.enumerated() {
      let heads = try detector.heads(images)
      let outputLoss = try Poisoning.outputLoss(
        detector, heads, known[index].slice(range), height: recipe.size, width: recipe.size,
        weight: recipe.outputLossWeight, invitation: recipe.invitationWeight)
      output = try output.map { try $0 + outputLoss } ?? outputLoss
      var loss = outputLoss
      if let featureLoss = try Poisoning.featureLoss(
        Self.features(heads, run), clean: clean[index].map { try $0.slice(range) }, found: known[index].hasFace,
        magnitudes: magnitudes[index], noise: noise[index].map { try $0.slice(range) }, strength: recipe.featureNoise)
      {
        loss = try loss + featureLoss
      }
      total = try total.map { try $0 + loss } ?? loss
    }
    guard let total, let output else { throw KernelsError.usage("--method tsdf needs a detector") }
    return (total, output)
  }

  /// The feature levels that poisoning compares, projected where that is asked for.
  private static func features(_ heads: DetectorHeads, _ run: CraftingRun) throws -> [Tensor] {
    let recipe = run.recipe
    let levels = recipe.featureLevels == .all ? heads.features : heads.features.suffix(1)
    guard recipe.featureProjection > 0 else { return levels }
    return try levels.map { level in
      // The same matrix for clean and protected images, and in every call.
      var stream = RandomStream(seed: recipe.seed &+ 1000, position: UInt64(level.shape[1]))
      let matrix = try stream.normal([recipe.featureProjection, level.shape[1], 1, 1], device: run.device)
      return try level.convolved(with: matrix / Float(level.shape[1]).squareRoot())
        .resized(height: 64, width: 64)
    }
  }
}
