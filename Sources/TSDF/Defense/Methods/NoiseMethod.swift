import Kernels

extension CraftMethod {
  /// Uniform random noise: the control.
  public static let noise = CraftMethod(NoiseMethod.self)
}

/// What it starts from is what it ends with.
struct NoiseMethod: CraftingMethod {
  static let name = "noise"
  static let generators = CraftMethod.ModelUse.none, detectors = CraftMethod.ModelUse.none
  static let stages = 0

  init(_ run: CraftingRun) {}

  func step(_ batch: CraftingBatch, _ run: CraftingRun) {}
}
