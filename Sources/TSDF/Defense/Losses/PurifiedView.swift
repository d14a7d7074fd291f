import Kernels

/// What crafting looks at pictures through: an attacker's purifier, differentiably, or nothing.
struct PurifiedView {
  private let steps: [(place: PurifierPlace, purifier: DifferentiablePurifier)]

  /// - Parameter recipe: nil for pictures as they are.
  /// - Throws: `PurifierError` where it learns from pictures or is a network: neither can be crafted through.
  init(_ recipe: PurificationRecipe?, on device: any Device) throws {
    steps =
      try recipe?.steps.map { step in
        guard case .purifier(let type, let strength) = step.kind else {
          throw PurifierError("\(recipe!.name) cannot be crafted through")
        }
        return (step.place, try purifierTypes[type].init(strength).differentiable(on: device))
      } ?? []
  }

  /// Images as they are after what it does at a place.
  func callAsFunction(_ images: Tensor, at place: PurifierPlace, random: inout RandomStream) throws -> Tensor {
    try steps.reduce(images) { $1.place == place ? try $1.purifier($0, &random) : $0 }
  }
}
