import ArgumentParser
import Foundation
import Kernels
import TSDF

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train", abstract: "Train a generator from scratch on labelled faces.",
    subcommands: [TrainStarGANCommand.self])
}

struct TrainStarGANCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stargan",
    abstract: "Train StarGAN: WGAN-GP, attribute classification, cycle reconstruction.",
    discussion: """
      Reads a folder with list_attr*.txt in CelebA's format and writes the generator to OUTPUT, and beside it \
      OUTPUT.checkpoint (for resuming: the same command goes on where it stopped, bit for bit, and one with more \
      --steps makes a finished run longer) and OUTPUT.samples/ (edits of held-out faces).
      """)

  @Option(help: "The labelled folder.") var data: String
  @Option(help: "Where the generator goes (.safetensors).") var output: String
  @Option(help: "Attributes to train on, separated by commas. (default: all)") var attributes: String?
  @Option(help: "Pixels a side.") var imageSize = 128
  @Option(help: "Channels of the generator's first layer.") var width = 64
  @Option(help: "Residual blocks.") var blocks = 6
  @Option(help: "Channels of the discriminator's first layer.") var discriminatorWidth = 64
  @Option(help: "Layers of the discriminator.") var discriminatorLayers = 6
  @Option(help: "Faces a batch.") var batch = 16
  @Option(help: "Generator steps.") var steps = 200_000
  @Option(help: "Critic steps a generator step.") var criticSteps = 5
  @Option(help: "Adam's learning rate.") var learningRate: Float = 1e-4
  @Option(help: "The learning rate falls to 0 over the last this many steps. (default: half of them)")
  var decaySteps: Int?
  @Option(help: "Weight of the attribute loss.") var classificationWeight: Float = 1
  @Option(help: "Weight of the cycle loss.") var reconstructionWeight: Float = 10
  @Option(help: "Weight of the gradient penalty.") var penaltyWeight: Float = 10
  @Option(help: "The last this many faces of the list are never trained on.") var holdOut = 480
  @Option(help: "The run's random seed.") var seed: UInt64 = 1
  @Option(help: "Steps between checkpoints.") var checkpointEvery = 200
  @Option(help: "Steps between sample sheets.") var sampleEvery = 200
  @OptionGroup var gradientOptions: GradientOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    for (name, value) in [
      ("--image-size", imageSize), ("--width", width), ("--discriminator-width", discriminatorWidth),
      ("--discriminator-layers", discriminatorLayers), ("--batch", batch), ("--steps", steps),
      ("--critic-steps", criticSteps), ("--checkpoint-every", checkpointEvery), ("--sample-every", sampleEvery),
    ] where value < 1 {
      throw ValidationError("\(name) must be at least 1")
    }
    if blocks < 0 || holdOut < 1 { throw ValidationError("--blocks must not be negative, --hold-out at least 1") }
    if imageSize % 4 != 0 { throw ValidationError("--image-size must be a multiple of 4") }
  }

  func run() throws {
    let device = try common.openDevice()
    let progress = common.progress
    let dataset = try Dataset(
      labelled: URL(fileURLWithPath: data), selecting: attributes?.split(separator: ",").map(String.init))
    guard dataset.count > holdOut else {
      throw ValidationError("\(data) has \(dataset.count) faces; \(holdOut) held out leave none to train on")
    }
    var recipe = StarGANRecipe()
    recipe.attributes = dataset.attributes
    (recipe.imageSize, recipe.width, recipe.blocks) = (imageSize, width, blocks)
    (recipe.discriminatorWidth, recipe.discriminatorLayers) = (discriminatorWidth, discriminatorLayers)
    (recipe.batch, recipe.steps, recipe.criticSteps) = (batch, steps, criticSteps)
    (recipe.learningRate, recipe.decaySteps) = (learningRate, decaySteps ?? steps / 2)
    (recipe.classificationWeight, recipe.reconstructionWeight) = (classificationWeight, reconstructionWeight)
    (recipe.penaltyWeight, recipe.seed, recipe.holdOut) = (penaltyWeight, seed, holdOut)
    recipe.keptPrecision = gradientOptions.keptPrecision

    progress.note("reading \(dataset.count) faces")
    let split = dataset.count - holdOut
    let training = try FaceSet(dataset[0..<split], size: imageSize)
    let heldOut = try FaceSet(dataset[split..<min(dataset.count, split + 8)], size: imageSize)
    let trainer = try StarGANTrainer(recipe, faces: training, device: device)

    let target = URL(fileURLWithPath: output)
    let checkpoint = URL(fileURLWithPath: output + ".checkpoint")
    if FileManager.default.fileExists(atPath: checkpoint.path) {
      try trainer.restore(from: checkpoint)
      progress.note("resuming at step \(trainer.step)")
    }
    let started = (step: trainer.step, time: Date())
    while trainer.step < steps {
      let reporting = trainer.step % 10 == 9 || trainer.step + 1 == steps
      if let losses = try trainer.trainStep(reporting: reporting) {
        let pace = Date().timeIntervalSince(started.time) / Double(trainer.step - started.step)
        progress.update(
          String(
            format: "step %d/%d  %.2f s a step  critic %.2f  penalty %.3f  reconstruction %.3f  classes %.2f / %.2f",
            trainer.step, steps, pace, losses.critic, losses.penalty, losses.reconstruction,
            losses.criticClassification, losses.classification), isLast: trainer.step == steps)
      }
      if trainer.step % sampleEvery == 0 || trainer.step == steps {
        let sheet = try editSheet(
          trainer.generator, faces: heldOut, indices: Array(0..<heldOut.count), device: device)
        let name = String(format: "step-%06d.png", trainer.step)
        try writeAtomically(encodePNG(sheet), to: URL(fileURLWithPath: output + ".samples/" + name))
      }
      if trainer.step % checkpointEvery == 0 || trainer.step == steps {
        try trainer.writeCheckpoint(to: checkpoint)
        try trainer.writeGenerator(to: target)
      }
    }
    try common.reportProfile(of: device)
    print("\(target.path): \(trainer.step) steps")
  }
}
