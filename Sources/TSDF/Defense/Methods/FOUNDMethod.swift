import Kernels

extension CraftMethod {
  /// FOUND (Tang et al., 2025): first an ensemble of the generators' features, then of their outputs.
  public static let found = CraftMethod(FOUNDMethod.self)
}

/// Over the first half of the batches the ensemble of features alone, then that of the outputs alone.
struct FOUNDMethod: InterruptingMethod {
  static let name = "found"

  var stage: InterruptionStage

  init(_ run: CraftingRun) throws { stage = try InterruptionStage(run) }

  mutating func step(_ batch: CraftingBatch, _ run: CraftingRun) throws {
    let targets = try InterruptionStage.Targets(batch, run)
    if 2 * run.step < run.stepCount {
      try stage.featureSteps(targets, enhancement: 0, run)
    } else {
      try stage.endToEndStep(targets, outputShare: 1, momentum: nil, run)
    }
  }
}
