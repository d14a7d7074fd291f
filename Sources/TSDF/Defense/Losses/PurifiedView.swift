import Foundation
import Kernels
import Networks

/// What crafting looks at pictures through: an attacker's purifier, differentiably, or nothing.
struct PurifiedView {
  private let steps: [(place: PurifierPlace, purifier: DifferentiablePurifier)]

  /// - Parameters:
  ///   - recipe: nil for pictures as they are.
  ///   - denoiser: the file of the denoiser that a recipe means which names none; nil for the adversarial one's below the current
  ///     folder.
  /// - Throws: `PurifierError` where it learns from other pictures, which nobody who crafts can know; `FileError` where a denoiser's file is
  ///   none.
  init(_ recipe: PurificationRecipe?, denoiser: URL? = nil, on device: any Device) throws {
    let unnamed = denoiser ?? URL(fileURLWithPath: Denoiser.adversarial)
    steps =
      try recipe?.steps.map { step in
        switch step.kind {
        case .purifier(let type, let strength):
          return (step.place, try purifierTypes[type].init(strength).differentiable(on: device))
        case .denoiser:
          let network = try Denoiser(contentsOf: step.denoiser(unnamed: unnamed)!, on: device)
          // All views of a step are kept until its gradients are taken: of this one no more than the picture.
          return (
            step.place, { images, _ in try Autograd.recomputing { try Autograd.segment { try network(images) } } }
          )
        case .average, .component: throw PurifierError("\(recipe!.name) cannot be crafted through")
        }
      } ?? []
  }

  /// Images as they are after what it does at a place.
  func callAsFunction(_ images: Tensor, at place: PurifierPlace, random: inout RandomStream) throws -> Tensor {
    try steps.reduce(images) { $1.place == place ? try $1.purifier($0, &random) : $0 }
  }
}
