import Kernels

extension CraftMethod {
  /// The paper's stage 1 alone.
  public static let interruption = CraftMethod(InterruptionMethod.self)
}

struct InterruptionMethod: InterruptingMethod {
  static let name = "interruption"

  var stage: InterruptionStage

  init(_ run: CraftingRun) throws { stage = try InterruptionStage(run) }

  mutating func step(_ batch: CraftingBatch, _ run: CraftingRun) throws {
    let targets = try InterruptionStage.Targets(batch, run)
    try stage.featureSteps(targets, enhancement: run.recipe.enhancementWeight, run)
    try stage.endToEndStep(targets, outputShare: run.recipe.outputShare, momentum: run.recipe.momentum, run)
  }
}
