import Kernels

/// Defenses of others, in this engine, for comparison.
enum Rivals {
  /// CMUA-Watermark for one batch: from W on, every image takes projected sign steps against every generator's output by
  /// itself; then W is the mean over the images and generators.
  static func cmua(
    _ perturbation: Tensor, _ images: Tensor, _ generators: [(generator: EmbeddedGenerator, condition: Condition)],
    _ recipe: CraftRecipe, slicer: BatchSlicer
  ) throws -> Tensor {
    var sum: Tensor?
    for (generator, condition) in generators {
      let delta = try imageSteps(
        images, start: perturbation.broadcast(to: images.shape), [(generator, condition)], recipe, slicer: slicer)
      let mean = try delta.mean(axes: [0], keepingAxes: true)
      sum = try sum.map { try $0 + mean } ?? mean
    }
    return try sum! / Float(generators.count)
  }

  /// Projected sign steps that drive the generators' outputs away from those of the clean images, each image by itself.
  /// - Returns: the images' own perturbations, within +-epsilon.
  static func imageSteps(
    _ images: Tensor, start: Tensor, _ generators: [(generator: EmbeddedGenerator, condition: Condition)],
    _ recipe: CraftRecipe, slicer: BatchSlicer
  ) throws -> Tensor {
    let clean = try generators.map { try $0.plain(images, condition: $1, slicer).image }
    let zero = try Tensor(repeating: 0, shape: images.shape, device: images.device)
    let delta = try start.scaled(by: 1)
    for _ in 0..<recipe.imageSteps {
      var total: Tensor?
      for (index, (generator, condition)) in generators.enumerated() {
        let leaf = delta.requiringGradient()
        let (gradient, _) = try slicer.gradient(through: (images + leaf).clamped(to: -1...1), to: leaf) {
          images, range in
          let edit = try generator(images, condition: condition.slice(range)).image
          return (try -edit.meanSquaredError(to: clean[index].slice(range)), [])
        }
        // Each generator's at unit magnitude: the one that breaks most easily would drown the others.
        let unit = try gradient.atUnitMagnitude()
        total = try total.map { try $0 + unit } ?? unit
      }
      try delta.signStep(
        gradient: total!, centre: zero, velocity: Tensor(repeating: 0, shape: images.shape, device: images.device),
        stepSize: recipe.imageStepSize, momentum: 0, bound: recipe.epsilon)
    }
    return delta
  }
}

/// Perturbs one picture against generators alone, with nothing universal: "Disrupting Deepfakes" (Ruiz, Bargal, Sclaroff,
/// 2020).
public final class ImagePGD {
  private let generators: [EmbeddedGenerator]
  private let recipe: CraftRecipe
  private let slicer: BatchSlicer

  public init(generators: [any Generator], recipe: CraftRecipe, device: any Device) {
    (self.generators, self.recipe) = (generators.map { EmbeddedGenerator($0) }, recipe)
    slicer = BatchSlicer(device: device)
  }

  /// The perturbation of an image [1, 3, H, W] in [-1, 1], within +-epsilon.
  public func perturbation(of image: Tensor, labels: ([String]) -> [Float], seed: UInt64) throws -> Tensor {
    var random = RandomStream(seed: seed)
    let targets = try generators.map { generator in
      let condition = try generator.conditions(
        [labels(generator.generator.attributes)], random: &random, device: image.device)
      return (generator, condition)
    }
    // A random start: where an edit is not broken at all its gradient is exactly zero.
    let start = try random.uniform(image.shape, in: -recipe.epsilon / 20..<recipe.epsilon / 20, device: image.device)
    return try Rivals.imageSteps(image, start: start, targets, recipe, slicer: slicer)
  }
}
