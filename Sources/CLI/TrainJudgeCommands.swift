import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

/// Options of the small networks that experiments need besides generators.
struct SupervisedOptions: ParsableArguments {
  @Option(help: "Where the network goes (.safetensors).") var output: String
  @Option(help: "Pixels a side of what it is trained on.") var imageSize = 96
  @Option(help: "Channels of the first layer.") var width = 24
  @Option(help: "Steps.") var steps: Int?
  @Option(name: [.customLong("batch-size"), .customLong("batch")], help: BatchSize.help) var batch: BatchSize?
  @Option(help: "Adam's learning rate; over the second half of the steps it falls to 0.") var learningRate: Float?
  @OptionGroup var loop: TrainingLoopOptions
  @OptionGroup var group: GroupOptions
  @OptionGroup var common: CommonOptions

  func recipe(_ model: String, holdOut: Int) throws -> TrainingRecipe {
    var recipe = try TrainingRecipe(defaultsOf: model)
    (recipe.imageSize, recipe.width, recipe.seed, recipe.holdOut) = (imageSize, width, loop.seed, max(1, holdOut))
    if let steps { (recipe.steps, recipe.decaySteps) = (steps, steps / 2) }
    if let count = batch?.count { recipe.batch = count }
    if let learningRate { recipe.learningRate = learningRate }
    return recipe
  }

  /// Trains on faces.
  /// - Parameter finish: what is done in the end, once, on the device.
  func train(
    _ recipe: TrainingRecipe, _ faces: Dataset, originals: Dataset? = nil,
    finish: @escaping @Sendable (any Device) throws -> Void
  ) throws {
    try common.forEachMember(group) { member in
      try train(recipe, faces, originals: originals, as: member)
      if member.isFirst { try finish(member.device) }
    }
  }

  private func train(_ recipe: TrainingRecipe, _ faces: Dataset, originals: Dataset?, as member: Member) throws {
    let device = member.device
    var recipe = recipe
    recipe.attributes = faces.attributes
    try common.plan(
      &recipe, batch: batch, faces: faces.count * (originals == nil ? 1 : 2), size: recipe.imageSize, on: device,
      progress: member.progress)
    let trainer = try Trainer(
      recipe, faces: FaceSet(faces, size: recipe.imageSize),
      originals: originals.map { try FaceSet($0, size: recipe.imageSize) }, group: member.group, device: device)
    try TrainingLoop(trainer: trainer, output: output, options: loop, member: member).run()
    try common.reportProfile(of: device)
  }
}

struct TrainClassifierCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: AttributeClassifier.name, abstract: "Train a classifier of attributes, which judges edits.",
    discussion: """
      Learns the labels of a folder with list_attr*.txt in CelebA's format, seeing faces at random brightness, contrast and quality. \
      In the end it says for each attribute how often it is right on the faces held out. Resumes as tsdf train does.
      """)

  @Option(help: "The labelled folder.") var data: String
  @Option(help: "Attributes to learn, separated by commas. (default: all)") var attributes: String?
  @Option(help: "Blocks, each of which halves the picture.") var blocks = 3
  @Option(help: "The last this many faces of the list are never trained on.") var holdOut = 480
  @OptionGroup var options: SupervisedOptions

  func validate() throws {
    try require("--hold-out", holdOut, 1...largestCount)
    try requireValid(recipe().validate)
  }

  private func recipe() throws -> TrainingRecipe {
    var recipe = try options.recipe(AttributeClassifier.name, holdOut: holdOut)
    recipe.blocks = blocks
    return recipe
  }

  func run() throws {
    let dataset = try Dataset(labelled: URL(fileURLWithPath: data), selecting: attributes.map(items(of:)))
    let split = try trainingCount(dataset, of: data, holdOut: holdOut)
    try options.train(recipe(), dataset[0..<split]) { device in
      let classifier = try loadClassifier(URL(fileURLWithPath: options.output), on: device)
      let heldOut = try FaceSet(dataset[split..<dataset.count], size: options.imageSize)
      let rights = try attributeAccuracies(classifier, on: heldOut, device: device)
      for (name, right) in zip(classifier.attributes, rights) {
        print(String(format: "\(name): right on %.1f%% of %d faces", 100 * right, heldOut.count))
      }
    }
  }
}

struct TrainDenoiserCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: Denoiser.name,
    abstract: "Train a denoiser that takes perturbations off faces, for --purify and --through denoise.",
    discussion: """
      Learns from pairs: protected faces and, in another folder under the same names, their originals. Resumes as tsdf train does.
      """)

  @Option(help: "The folder of protected faces.") var data: String
  @Option(help: "The folder of their originals, under the same names.") var paired: String
  @OptionGroup var options: SupervisedOptions

  func validate() throws { try requireValid(options.recipe(Denoiser.name, holdOut: 1).validate) }

  func run() throws {
    let faces = try loadFaces(data)
    try options.train(
      options.recipe(Denoiser.name, holdOut: 1), faces, originals: faces.moved(to: URL(fileURLWithPath: paired))
    ) { _ in print(options.output) }
  }
}
