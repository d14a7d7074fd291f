import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

struct RetrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "retrain", abstract: "Go on training a generator on collected faces, as an attacker would.",
    discussion: """
      Takes a generator and its discriminator, official checkpoints or ours (of a checkpoint of tsdf train both, and the state of \
      the optimisers), and goes on with the model's own losses on the faces of --data, a labelled folder as `tsdf \
      prepare` writes it. Without --critic a fresh discriminator is trained first, for --warm-up steps, against the generator as \
      it is. Writes what `tsdf train` writes, and resumes likewise.

      Smarter attackers: --augment looks at half of the faces through JPEG, blur, noise or a smaller size; --clean with \
      --clean-share mixes public faces in; --paired has the originals of the faces, which the attacker protected himself, and trains \
      the generator to make of the protected face what it made of the original, without any discriminator; --lora trains \
      low-rank patches of the convolutions in place of all parameters.

      EXAMPLES:
        tsdf retrain stargan --weights weights/stargan.safetensors --data crops --output adapted.safetensors
        tsdf retrain hisd --weights gen_00600000.pt --critic gen_00600000.pt --tags 'Bangs;Glasses' --data crops --output h.safetensors
        tsdf retrain stargan --weights weights/stargan.safetensors --data protected --paired originals --lora 8 --output patched.safetensors
      """)

  @Argument(help: "\(generatorNames.joined(separator: ", ")).") var model: String
  @Option(help: "The generator to go on from (.safetensors, .pth, .ckpt, .pt, or a checkpoint of tsdf train).")
  var weights: String
  @Option(help: "Its discriminator, likewise. Without it a fresh one is warmed up.") var critic: String?
  @Option(help: "The labelled folder of collected faces.") var data: String
  @Option(help: "Where the generator goes (.safetensors).") var output: String
  @Option(help: "The labels that the generator takes, separated by commas, where its file does not name them.")
  var attributes: String?
  @Option(help: "HiSD's tags as in tsdf train, where its file does not name them.") var tags: String?
  @Option(help: "Pixels a side, where neither file says.") var imageSize: Int?
  @Option(help: "The last this many faces of --data are not trained on.") var holdOut = 0
  @Option(help: "Generator steps.") var steps = 100
  @OptionGroup var optimizer: OptimizerOptions
  @OptionGroup var losses: LossOptions
  @Option(help: "Channels of the first layer of a fresh discriminator.") var discriminatorWidth: Int?
  @Option(help: "Layers of a fresh discriminator. (default: as many as the size can be halved, at most the model's)")
  var discriminatorLayers: Int?
  @Option(help: "Steps that a fresh discriminator is trained for first.") var warmUp = RetrainingRecipe().warmUpSteps
  @Option(
    help:
      "Look at half of the faces through one of these, separated by commas: \(augmentationNames.joined(separator: ", "))."
  )
  var augment: String?
  @Option(help: "A labelled folder of public clean faces to mix in.") var clean: String?
  @Option(help: "The share of clean faces in what is trained on, 0 to 1. (default: 0.5)") var cleanShare: Float?
  @Option(help: "The folder of the originals of the faces of --data, under the same names: train on pairs.")
  var paired: String?
  @Option(help: "Train patches of this rank on the convolutions, gated, in place of all parameters; 0 for none.")
  var lora = 0
  @Option(help: "Leave parameters as they are whose names begin with one of these, separated by commas.")
  var freeze: String?
  @OptionGroup var loop: TrainingLoopOptions
  @OptionGroup var batch: BatchOptions
  @OptionGroup var group: GroupOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try requireGenerator(model)
    try require("--image-size", imageSize, 8...2048)
    try require("--hold-out", holdOut, 0...largestCount)
    if paired != nil {
      guard critic == nil, clean == nil, optimizer.criticSteps == nil, try fields(of: losses).isEmpty else {
        throw ValidationError("--paired trains without a discriminator, by one loss and on the pairs alone")
      }
      guard optimizer.averaging == nil, optimizer.mapperLearningRate == nil else {
        throw ValidationError("--paired trains the generator's weights as they are")
      }
    }
    guard cleanShare == nil || clean != nil else {
      throw ValidationError("--clean-share needs --clean, the clean faces")
    }
    try requireValid(recipe().validate)
  }

  func run() throws { try common.forEachMember(group) { try retrain(as: $0) } }

  private func retrain(as member: Member) throws {
    let (device, progress) = (member.device, member.progress)
    let files = TrainingStart.Files(
      generator: locate(weights), critic: critic.map { URL(fileURLWithPath: $0) }, imageSize: imageSize)
    let start = try TrainingStart(files, named: model, on: device)
    var recipe = try recipe()
    recipe.attributes = attributes.map(items(of:)) ?? []
    let labels = recipe.attributes.isEmpty ? start.attributes : recipe.attributes
    let collected = try Dataset(labelled: URL(fileURLWithPath: data), selecting: labels)
    let count = try trainingCount(collected, of: data, holdOut: holdOut)
    if labels == nil { recipe.attributes = collected.attributes }
    let faces = collected[0..<count]

    let side = try start.imageSize
    if discriminatorLayers == nil {
      recipe.discriminatorLayers = min(recipe.discriminatorLayers, side.trailingZeroBitCount)
    }
    try common.plan(
      &recipe, batch: batch.size, from: files, faces: faces.count * (paired == nil ? 1 : 2), size: side, on: device,
      progress: progress)
    let trainer = try Trainer(
      recipe, from: start,
      data: TrainingData(
        FaceSet(faces, size: side),
        clean: try clean.map {
          try FaceSet(Dataset(labelled: URL(fileURLWithPath: $0), selecting: faces.attributes), size: side)
        }, cleanShare: recipe.retraining?.cleanShare ?? 0,
        originals: try paired.map { try FaceSet(faces.moved(to: URL(fileURLWithPath: $0)), size: side) }),
      group: member.group, device: device)
    if trainer.warmUpStepsLeft > 0 {
      progress.note("no --critic: a fresh discriminator is trained for \(trainer.warmUpStepsLeft) steps first")
    }
    try TrainingLoop(trainer: trainer, output: output, options: loop, member: member).run()
    try common.reportProfile(of: device)
    if member.isFirst { print("\(output): \(trainer.step) steps") }
  }

  /// The model's defaults with what was given instead; extents and labels come from the networks.
  private func recipe() throws -> TrainingRecipe {
    var recipe = try batch.applied(to: TrainingRecipe(defaultsOf: model))
    recipe.decaySteps = 0
    recipe = try losses.applied(to: optimizer.applied(to: recipe))
    (recipe.seed, recipe.holdOut, recipe.steps) = (loop.seed, max(1, holdOut), steps)
    recipe.tags = tags ?? recipe.tags
    recipe.discriminatorWidth = discriminatorWidth ?? recipe.discriminatorWidth
    recipe.discriminatorLayers = discriminatorLayers ?? recipe.discriminatorLayers
    recipe.augment = augment.map(items(of:))
    var retraining = RetrainingRecipe()
    (retraining.warmUpSteps, retraining.cleanShare, retraining.rank) = (
      warmUp, clean == nil ? 0 : cleanShare ?? 0.5, lora
    )
    (retraining.isPaired, retraining.freeze) = (paired != nil, freeze.map(items(of:)) ?? [])
    recipe.retraining = retraining
    return recipe
  }
}
