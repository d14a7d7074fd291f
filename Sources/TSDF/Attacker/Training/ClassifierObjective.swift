import Foundation
import Kernels
import Networks

/// Trains a classifier of attributes: binary cross-entropy, a mean over them. Half of the faces are looked at through what
/// `Augmentation` has, and all at a random brightness and contrast, so that it judges what a face shows and not how it was saved.
struct ClassifierObjective: TrainingObjective {
  static var defaults: TrainingRecipe {
    var recipe = TrainingRecipe()
    (recipe.imageSize, recipe.width, recipe.blocks, recipe.batch, recipe.steps) = (96, 24, 3, 32, 3000)
    (recipe.learningRate, recipe.beta1, recipe.decaySteps) = (1e-3, 0.9, 1500)
    recipe.augment = augmentationNames
    return recipe
  }

  private var classifier: AttributeClassifier

  init(_ recipe: TrainingRecipe, device: any Device) throws {
    classifier = try AttributeClassifier(
      width: recipe.width, blocks: recipe.blocks, attributes: recipe.attributes, imageSize: recipe.imageSize,
      seed: recipe.seed, device: device)
  }

  var state: [String: [String: Tensor]] {
    get { ["G": classifier.parameters] }
    set { classifier.parameters = newValue["G"]! }
  }

  mutating func step(_ run: TrainingRun) throws -> [LossPart] {
    let count = run.recipe.batch
    let indices = run.drawFaces(count)
    let contrast = try run.random.uniform([count, 1, 1, 1], in: 0.7..<1.3, device: run.device)
    let brightness = try run.random.uniform([count, 1, 1, 1], in: -0.3..<0.3, device: run.device)
    let images = try (run.images(indices) * contrast + brightness).clamped(to: -1...1)
    let labels = try run.faces.labelBatch(indices, on: run.device)
    let leaves = classifier.trainable.mapValues { $0.requiringGradient() }
    let classifier = classifier.replacing(leaves)
    return try run.update([("G", leaves)]) { range in
      let loss = try classifier(images.slice(range)).binaryCrossEntropy(withTarget: labels.slice(range))
      return TrainingLoss(loss, [("cls", loss)])
    }
  }

  func write(to url: URL, metadata: [String: String]) throws {
    try Safetensors.write(
      classifier.parameters,
      metadata: metadata.merging(classifier.metadata) { $1 }.merging(["tsdf": tsdfVersion]) { $1 },
      to: url)
  }
}
