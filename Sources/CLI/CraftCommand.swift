import ArgumentParser
import Foundation
import Kernels
import TSDF

extension CraftMethod: ExpressibleByArgument {}

struct CraftCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "craft", abstract: "Make a universal perturbation against generators and detectors.",
    discussion: """
      Writes the perturbation to OUTPUT and, while it works, OUTPUT.checkpoint: the same command goes on where it \
      stopped. The last --hold-out faces of the data are never used, so that they can judge the result.
      """)

  @Option(help: "A labelled folder (list_attr*.txt) or a folder of face images.") var data: String
  @Option(help: "Where the perturbation goes (.safetensors).") var output: String
  @Option(help: "joint, tsdf (the paper's two stages), interruption, poison or noise.") var method = CraftMethod.joint
  @Option(help: "The largest change of a channel, on a scale of -1 to 1 (0.05 is 6.4 of 255).") var epsilon: Float =
    0.05
  @Option(help: "Pixels a side of the perturbation.") var size = 256
  @Option(help: "Faces to work on.") var faces = 128
  @Option(help: "The last this many faces of the data are left alone.") var holdOut = 480
  @Option(help: "Faces a batch.") var batch = 8
  @Option(help: "Passes over the faces (tsdf: of each stage).") var passes = 30
  @Option(help: "Stage 1: feature steps a batch.") var featureSteps = 3
  @Option(help: "Stage 1: size of a sign step.") var stepSize: Float = 1e-3
  @Option(help: "Stage 1: momentum of the end-to-end step.") var momentum: Float = 0.8
  @Option(help: "Stage 1: weight of contrast enhancement.") var enhancementWeight: Float = 0.001
  @Option(help: "Stage 1: temperature of contrast enhancement.") var enhancementTemperature: Float = 0.1
  @Option(help: "Stage 1: strength of contrast enhancement.") var enhancementStrength: Float = 0.4
  @Option(help: "Stage 1: share of the outputs in the end-to-end loss.") var outputShare: Float = 0.7
  @Option(help: "Stage 1: memory of the losses that weigh the generators.") var weightMemory: Float = 0.9
  @Option(help: "Stage 1: temperature of the generators' weights.") var weightTemperature: Float = 0.1
  @Option(help: "Stage 1: probability of input diversity.") var diversityProbability: Float = 0.5
  @Option(help: "Stage 1: canvas of input diversity, in pixels for an image of 256.") var diversityCanvas: Float = 290
  @Option(help: "Stage 2: intensities from this on keep interrupting.") var tau: Float = 0.040
  @Option(help: "Stage 2: how fast freedom to poison falls with intensity.") var beta: Float = 5
  @Option(help: "Stage 2: Adam steps a batch.") var poisonSteps = 50
  @Option(help: "Stage 2: Adam's learning rate.") var poisonRate: Float = 0.02
  @Option(help: "Stage 2: largest addition before the budget is enforced.") var poisonBound: Float = 0.4
  @Option(help: "Stage 2: weight of the output loss.") var outputLossWeight: Float = 12
  @Option(help: "Stage 2: noise in the feature targets.") var featureNoise: Float = 0.2
  @Flag(help: "Stage 2: poison with every pixel.") var noMask = false
  @Option(help: "Joint, poison: momentum.") var jointMomentum: Float = 0.5
  @Option(help: "Joint: mean squared change of an edit that is enough.") var interruptionTarget: Float = 0.12
  @Option(
    help: """
      Detectors, separated by commas, or none. A universal perturbation hardly moves MTCNN, and trying costs what it does \
      to RetinaFace.
      """) var detectors = RetinaFace.name
  @Option(help: "The run's random seed.") var seed: UInt64 = 1
  @Option(help: "Batches between checkpoints.") var checkpointEvery = 20
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var gradientOptions: GradientOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if !(epsilon > 0 && epsilon <= 1) { throw ValidationError("--epsilon must be above 0 and at most 1") }
    for (name, value) in [
      ("--size", size), ("--faces", faces), ("--batch", batch), ("--passes", passes),
      ("--checkpoint-every", checkpointEvery),
    ] where value < 1 {
      throw ValidationError("\(name) must be at least 1")
    }
    if size < 64 { throw ValidationError("--size must be at least 64") }
    if !(diversityCanvas >= 257 && diversityCanvas <= 1024) {
      throw ValidationError("--diversity-canvas must be from 257 to 1024")
    }
    if !(weightTemperature > 0 && enhancementTemperature > 0) { throw ValidationError("temperatures must be positive") }
    if holdOut < 0 || featureSteps < 0 || poisonSteps < 1 {
      throw ValidationError("--hold-out and --feature-steps must not be negative, --poison-steps at least 1")
    }
  }

  func run() throws {
    let device = try common.openDevice()
    let progress = common.progress
    let found = try models.loadDetectors(detectors, on: device)
    let generators = method == .poison || method == .noise ? [] : try generatorOptions.load(on: device)
    let dataset = try loadFaces(data)
    guard dataset.count > holdOut else {
      throw ValidationError("\(data) has \(dataset.count) faces; holding out \(holdOut) leaves none")
    }
    let used = min(faces, dataset.count - holdOut)
    var recipe = CraftRecipe()
    (recipe.method, recipe.epsilon, recipe.size, recipe.batch) = (method, epsilon, size, batch)
    (recipe.passes, recipe.seed, recipe.faces) = (passes, seed, used)
    (recipe.featureSteps, recipe.stepSize, recipe.momentum) = (featureSteps, stepSize, momentum)
    (recipe.enhancementWeight, recipe.tau, recipe.beta) = (enhancementWeight, tau, beta)
    (recipe.poisonSteps, recipe.poisonRate, recipe.usesMask) = (poisonSteps, poisonRate, !noMask)
    (recipe.enhancementTemperature, recipe.enhancementStrength) = (enhancementTemperature, enhancementStrength)
    (recipe.outputShare, recipe.weightMemory, recipe.weightTemperature) = (outputShare, weightMemory, weightTemperature)
    (recipe.diversityProbability, recipe.diversityCanvas) = (diversityProbability, diversityCanvas)
    (recipe.poisonBound, recipe.outputLossWeight, recipe.featureNoise) = (poisonBound, outputLossWeight, featureNoise)
    (recipe.jointMomentum, recipe.interruptionTarget) = (jointMomentum, interruptionTarget)
    recipe.keptPrecision = gradientOptions.keptPrecision
    recipe.generators = generators.map(\.name)
    recipe.detectors = found.map(\.name)

    let set = try FaceSet(dataset[0..<used], size: size)
    let crafter = try Crafter(
      recipe, faces: set, generators: generators.map(\.generator), detectors: found.map(\.detector),
      device: device)
    let checkpoint = URL(fileURLWithPath: output + ".checkpoint")
    if FileManager.default.fileExists(atPath: checkpoint.path) {
      try crafter.restore(from: checkpoint)
      progress.note("resuming at batch \(crafter.step)")
    }
    let started = (step: crafter.step, time: Date())
    while crafter.step < crafter.stepCount {
      try crafter.craftStep()
      try device.synchronize()
      let pace = Date().timeIntervalSince(started.time) / Double(crafter.step - started.step)
      progress.update(
        String(
          format: "batch %d/%d  %.2f s a batch, %.0f s to go", crafter.step, crafter.stepCount, pace,
          pace * Double(crafter.stepCount - crafter.step)), isLast: crafter.step == crafter.stepCount)
      if crafter.step % checkpointEvery == 0 { try crafter.writeCheckpoint(to: checkpoint) }
    }
    try crafter.write(to: URL(fileURLWithPath: output))
    try? FileManager.default.removeItem(at: checkpoint)
    try common.reportProfile(of: device)
    print(output)
  }
}

/// A labelled folder if it holds a list, else a folder of images.
func loadFaces(_ path: String) throws -> Dataset {
  let url = URL(fileURLWithPath: path)
  let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
  let isLabelled = names.contains { $0.hasPrefix("list_attr") && $0.hasSuffix(".txt") }
  return isLabelled ? try Dataset(labelled: url) : try Dataset(images: url)
}
