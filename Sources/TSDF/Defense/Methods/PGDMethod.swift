import Kernels
import Networks

extension CraftMethod {
  /// Projected sign steps on each image alone ("Disrupting Deepfakes"; Ruiz, Bargal, Sclaroff, 2020): nothing universal.
  public static let pgd = CraftMethod(PGDMethod.self)
}

/// What adapts to each image by itself starts from nothing and has no batches: see `ImagePGD`.
struct PGDMethod: CraftingMethod {
  static let name = "pgd"
  static let generators = CraftMethod.ModelUse.required, detectors = CraftMethod.ModelUse.none
  static let stages = 0

  static func start(_ recipe: CraftRecipe, random: inout RandomStream, device: any Device) throws -> Tensor {
    try Tensor(repeating: 0, shape: [1, 3, recipe.size, recipe.size], device: device)
  }

  init(_ run: CraftingRun) {}

  func step(_ batch: CraftingBatch, _ run: CraftingRun) {}
}

/// Perturbs one picture against generators alone, with nothing universal: "Disrupting Deepfakes" (Ruiz, Bargal, Sclaroff,
/// 2020).
public final class ImagePGD {
  private let generators: [EmbeddedGenerator]
  private let recipe: CraftRecipe
  private let slicer: BatchSlicer

  /// - Parameters:
  ///   - generators: what it works against; each edits the picture at its own size.
  ///   - recipe: of which it takes `epsilon`, `imageSteps` and `imageStepSize`.
  ///   - device: where it is done.
  public init(generators: [any Generator], recipe: CraftRecipe, device: any Device) {
    (self.generators, self.recipe) = (generators.map { EmbeddedGenerator($0) }, recipe)
    slicer = BatchSlicer(device: device)
  }

  /// The perturbation of an image [1, 3, H, W] in [-1, 1], within +-epsilon.
  /// - Parameters:
  ///   - image: [1, 3, H, W] in [-1, 1].
  ///   - labels: the face's attributes, 0 or 1, for a list of their names; nothing where they are not known.
  ///   - seed: of the random start and of edits that vary.
  public func perturbation(of image: Tensor, labels: ([String]) -> [Float], seed: UInt64) throws -> Tensor {
    var random = RandomStream(seed: seed)
    let targets = try generators.map { generator in
      let condition = try generator.conditions(
        [labels(generator.generator.attributes)], random: &random, device: image.device)
      return (generator, condition)
    }
    // A random start: where an edit is not broken at all its gradient is exactly zero.
    let start = try random.uniform(image.shape, in: -recipe.epsilon / 20..<recipe.epsilon / 20, device: image.device)
    return try imageSteps(image, start: start, targets, recipe, slicer: slicer)
  }
}

@available(*, unavailable)
extension ImagePGD: Sendable {}
