import Kernels

extension CraftMethod {
  /// Both goals in every step, weighed by how far each still is from its target (ours).
  public static let joint = CraftMethod(JointMethod.self)
}

struct JointMethod: CraftingMethod {
  static let name = "joint"
  static let generators = CraftMethod.ModelUse.optional, detectors = CraftMethod.ModelUse.optional

  private var velocity: Tensor

  init(_ run: CraftingRun) throws {
    if run.generators.isEmpty && run.detectors.isEmpty {
      throw KernelsError.usage("--method joint needs a generator or a detector")
    }
    velocity = try run.zeros()
  }

  var state: [String: Tensor] {
    get { ["velocity": velocity] }
    set { velocity = newValue["velocity"] ?? velocity }
  }

  func step(_ batch: CraftingBatch, _ run: CraftingRun) throws {
    var goals: [JointStep.Goal] = []
    for generator in run.generators {
      let condition = try run.drawCondition(for: generator, batch)
      let clean = try generator.plain(batch.images, condition: condition, run.slicer).image
      goals.append(.generator(generator, condition, EditTarget(clean)))
    }
    for (detector, targets) in zip(run.detectors, try run.detectorTargets(batch)) {
      goals.append(.detector(detector, targets))
    }
    let recipe = run.recipe
    let leaf = run.perturbation.requiringGradient()
    let plain = try batch.images + leaf
    let isCompressed = run.random.unit() < recipe.compressionProbability
    let aims = JointStep.Aims(
      epsilon: recipe.epsilon, interruptionTarget: recipe.interruptionTarget, goal: recipe.detectorGoal,
      weights: recipe.weights)
    let gradient = try JointStep.gradient(
      goals, input: isCompressed ? run.compression(plain) : plain, leaf: leaf, aims, slicer: run.slicer)
    try run.move(
      gradient, velocity: velocity,
      stepSize: recipe.epsilon / 20 * (1 - Float(run.step) / Float(max(1, run.stepCount))),
      momentum: recipe.jointMomentum)
  }
}
