import Foundation
import Kernels
import Networks

/// Trains a denoiser on pairs of protected faces and their originals: mean absolute error to the original, of the protected face
/// and, so that it learns to leave clean ones alone, of the original itself.
struct DenoiserObjective: TrainingObjective {
  static var defaults: TrainingRecipe {
    var recipe = TrainingRecipe()
    (recipe.imageSize, recipe.width, recipe.batch, recipe.steps) = (96, 24, 16, 1000)
    (recipe.learningRate, recipe.beta1, recipe.decaySteps) = (5e-4, 0.9, 500)
    return recipe
  }

  private var denoiser: Denoiser

  init(_ recipe: TrainingRecipe, device: any Device) throws {
    denoiser = try Denoiser(width: recipe.width, seed: recipe.seed, device: device)
  }

  var state: [String: [String: Tensor]] {
    get { ["G": denoiser.parameters] }
    set { denoiser.parameters = newValue["G"]! }
  }

  mutating func step(_ run: TrainingRun) throws -> [LossPart] {
    guard let originals = run.data.originals else { throw KernelsError.usage("pairs need the originals of the faces") }
    let indices = (0..<run.recipe.batch).map { _ in run.random.integer(below: run.data.collectedCount) }
    let (protected, clean) = try run.pairs(indices, originals)
    let leaves = denoiser.trainable.mapValues { $0.requiringGradient() }
    let denoiser = denoiser.replacing(leaves)
    return try run.update([("G", leaves)]) { range in
      let original = try clean.slice(range)
      let cleaned = try denoiser(protected.slice(range)).meanAbsoluteError(to: original)
      let kept = try denoiser(original).meanAbsoluteError(to: original)
      let total = try cleaned + kept * 0.25
      return TrainingLoss(total, [("cleaned", cleaned), ("kept", kept), ("total", total)])
    }
  }

  func write(to url: URL, metadata: [String: String]) throws {
    try Safetensors.write(
      denoiser.parameters, metadata: metadata.merging(["kind": Denoiser.name, "tsdf": tsdfVersion]) { $1 }, to: url)
  }
}
