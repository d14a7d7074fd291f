import Kernels

extension CraftMethod {
  /// The detectors alone, by the loss of `joint`.
  public static let poison = CraftMethod(PoisonMethod.self)
}

struct PoisonMethod: CraftingMethod {
  static let name = "poison"
  static let generators = CraftMethod.ModelUse.none, detectors = CraftMethod.ModelUse.required

  /// With no generator at hand, it is all that is left of it.
  private var joint: JointMethod

  init(_ run: CraftingRun) throws { joint = try JointMethod(run) }

  var state: [String: Tensor] {
    get { joint.state }
    set { joint.state = newValue }
  }

  func step(_ batch: CraftingBatch, _ run: CraftingRun) throws { try joint.step(batch, run) }
}
