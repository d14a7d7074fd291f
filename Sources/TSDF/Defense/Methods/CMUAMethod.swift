import Kernels

extension CraftMethod {
  /// CMUA-Watermark (Huang et al., AAAI 2022): sign steps on each image against each generator, averaged over images and
  /// generators.
  public static let cmua = CraftMethod(CMUAMethod.self)
}

/// For each batch: from W on, every image takes projected sign steps against every generator's output by itself; then W is
/// the mean over the images and generators.
struct CMUAMethod: CraftingMethod {
  static let name = "cmua"
  static let generators = CraftMethod.ModelUse.required, detectors = CraftMethod.ModelUse.none

  init(_ run: CraftingRun) {}

  func step(_ batch: CraftingBatch, _ run: CraftingRun) throws {
    let edits = try run.generators.map { ($0, try run.drawCondition(for: $0, batch)) }
    var sum: Tensor?
    for edit in edits {
      let delta = try imageSteps(
        batch.images, start: run.perturbation.broadcast(to: batch.images.shape), [edit], run.recipe,
        slicer: run.slicer)
      let mean = try delta.mean(axes: [0], keepingAxes: true)
      sum = try sum.map { try $0 + mean } ?? mean
    }
    guard let sum else { return }
    run.perturbation = try sum / Float(edits.count)
  }
}
