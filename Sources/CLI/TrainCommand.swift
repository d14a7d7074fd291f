import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage
import TSDF

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a generator, or a judge or a denoiser for experiments, from scratch.",
    subcommands: [TrainGeneratorCommand.self, TrainClassifierCommand.self, TrainDenoiserCommand.self],
    defaultSubcommand: TrainGeneratorCommand.self)
}

struct TrainGeneratorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generator",
    abstract: "Train a generator on labelled faces, with its own discriminator and losses: tsdf train MODEL.",
    discussion: """
      Reads a folder with list_attr*.txt in CelebA's format and writes the generator to OUTPUT, and beside it \
      OUTPUT.checkpoint (for resuming: the same command goes on where it stopped, bit for bit; one with more --steps makes \
      a finished run longer, and learning rates and losses' weights may change on the way), OUTPUT.losses.jsonl and \
      OUTPUT.samples/ (edits of held-out faces). Ctrl-C and SIGTERM end it with a checkpoint. What is not given is as the model's authors have it.
      """)

  @Argument(help: "\(generatorNames.joined(separator: ", ")).") var model: String
  @Option(help: "The labelled folder.") var data: String
  @Option(help: "Where the generator goes (.safetensors).") var output: String
  @Option(help: "Attributes to train on, separated by commas. (default: all)") var attributes: String?
  @OptionGroup var networks: NetworkOptions
  @OptionGroup var optimizer: OptimizerOptions
  @OptionGroup var losses: LossOptions
  @Option(help: "The last this many faces of the list are never trained on.") var holdOut = 480
  @Option(help: "Steps between sample sheets.") var sampleEvery = 200
  @OptionGroup var loop: TrainingLoopOptions
  @OptionGroup var batch: BatchOptions
  @OptionGroup var group: GroupOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try requireGenerator(model)
    try require("--sample-every", sampleEvery, 1...largestCount)
    try requireValid(recipe(attributes: []).validate)
  }

  func run() throws {
    let dataset = try Dataset(
      labelled: URL(fileURLWithPath: data), selecting: attributes?.split(separator: ",").map(String.init))
    let split = try trainingCount(dataset, of: data, holdOut: holdOut)
    try common.forEachMember(group) { try train(dataset, split: split, as: $0) }
  }

  private func train(_ dataset: Dataset, split: Int, as member: Member) throws {
    let (device, progress) = (member.device, member.progress)
    var recipe = try recipe(attributes: dataset.attributes)
    try common.plan(
      &recipe, batch: batch.size, faces: dataset.count, size: recipe.imageSize, on: device, progress: progress)
    progress.note("reading \(dataset.count) faces")
    let training = try FaceSet(dataset[0..<split], size: recipe.imageSize)
    let heldOut = try FaceSet(dataset[split..<min(dataset.count, split + 8)], size: recipe.imageSize)
    let trainer = try Trainer(recipe, faces: training, group: member.group, device: device)

    let samples = try member.isFirst ? resultFolder(output + ".samples") : nil
    try TrainingLoop(trainer: trainer, output: output, options: loop, member: member).run {
      guard trainer.step % sampleEvery == 0 || trainer.step == recipe.steps else { return }
      let sheet = try editSheet(trainer.generator, faces: heldOut, indices: Array(0..<heldOut.count), device: device)
      let name = String(format: "step-%06d.png", trainer.step)
      try samples?.write(encodePNG(sheet), to: FilePath(name))
    }
    try common.reportProfile(of: device)
    if member.isFirst { print("\(output): \(trainer.step) steps") }
  }

  /// The model's defaults with what was given instead.
  private func recipe(attributes: [String]) throws -> TrainingRecipe {
    var recipe = try batch.applied(to: TrainingRecipe(defaultsOf: model))
    (recipe.attributes, recipe.seed, recipe.holdOut) = (attributes, loop.seed, holdOut)
    if let steps = networks.steps { recipe.decaySteps = steps / 2 }
    return try losses.applied(to: optimizer.applied(to: networks.applied(to: recipe)))
  }
}

/// What the networks are like, and for how long they are trained.
struct NetworkOptions: RecipeOptions {
  @Option(
    help: """
      HiSD's tags, separated by semicolons: an attribute, or several that exclude each other, separated by commas. For \
      example 'Male;Child,Young,Middle,Senior'.
      """) var tags: String?
  @Option(help: "Pixels a side.") var imageSize: Int?
  @Option(help: "Channels of the generator's first layer.") var width: Int?
  @Option(help: "Residual blocks (stargan, attentiongan), encoder layers (attgan), translator blocks (hisd).")
  var blocks: Int?
  @Option(help: "Channels of the discriminator's first layer.") var discriminatorWidth: Int?
  @Option(help: "Layers of the discriminator.") var discriminatorLayers: Int?
  @Option(help: "Units of hidden layers (attgan), values of a style (hisd).") var hiddenCount: Int?
  @Option(help: "Generator steps.") var steps: Int?
}

/// The weights of a generator's and its discriminator's losses.
struct LossOptions: RecipeOptions {
  @Option(
    help: "Weight of the generator's attribute loss. HiSD has none by itself (0), and then its discriminator neither.")
  var classificationWeight: Float?
  @Option(help: "Weight of the discriminator's attribute loss.") var criticClassificationWeight: Float?
  @Option(help: "Weight of the reconstruction loss.") var reconstructionWeight: Float?
  @Option(help: "Weight of the gradient penalty.") var penaltyWeight: Float?
  @Option(help: "Weight of HiSD's style loss.") var styleWeight: Float?
}
