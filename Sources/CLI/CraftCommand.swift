import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

extension CraftMethod: ExpressibleByArgument {}
extension DetectorGoal: ExpressibleByArgument {}
extension FeatureLevels: ExpressibleByArgument {}

struct CraftCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "craft", abstract: "Make a universal perturbation against generators and detectors.",
    discussion: """
      Takes a whole experiment from --recipe FILE (recipes/ has some), or the defaults, with whatever options are given \
      instead. Writes the perturbation, the recipe in its metadata, to OUTPUT and, while it works, OUTPUT.checkpoint: the \
      same command goes on where it stopped, after Ctrl-C too. The last faces of the data (--hold-out) are never used, so that they can \
      judge the result.
      """)

  @Option(help: "A recipe: JSON with any fields of the recipe in a perturbation's metadata.") var recipe: String?
  @Option(help: "A labelled folder (list_attr*.txt) or a folder of face images.") var data: String?
  @Option(help: "Where the perturbation goes (.safetensors).") var output: String
  @Option(
    help: """
      joint, tsdf (the paper's two stages), interruption (its first), poison, and for comparison cmua, found, pgd (which \
      only marks its file: evaluate then adapts to each face) and noise.
      """) var method: CraftMethod?
  @Option(help: "The largest change of a channel, on a scale of -1 to 1 (0.05 is 6.4 of 255).") var epsilon: Float?
  @Option(help: "Pixels a side of the perturbation.") var size: Int?
  @Option(help: "Faces to work on.") var faces: Int?
  @Option(help: "The last this many faces of the data are left alone.") var holdOut: Int?
  @Option(help: "Faces a batch.") var batch: Int?
  @Option(help: "Passes over the faces (tsdf: of each stage).") var passes: Int?
  @Option(help: "Stage 1, found: feature steps a batch.") var featureSteps: Int?
  @Option(help: "Stage 1, found: size of a sign step.") var stepSize: Float?
  @Option(help: "Stage 1: momentum of the end-to-end step.") var momentum: Float?
  @Option(help: "Stage 1: weight of contrast enhancement.") var enhancementWeight: Float?
  @Option(help: "Stage 1: temperature of contrast enhancement.") var enhancementTemperature: Float?
  @Option(help: "Stage 1: strength of contrast enhancement.") var enhancementStrength: Float?
  @Option(help: "Stage 1: share of the outputs in the end-to-end loss.") var outputShare: Float?
  @Option(help: "Stage 1: memory of the losses that weigh the generators.") var weightMemory: Float?
  @Option(help: "Stage 1: temperature of the generators' weights.") var weightTemperature: Float?
  @Option(help: "Stage 1: probability of input diversity.") var diversityProbability: Float?
  @Option(help: "Stage 1: canvas of input diversity, in pixels for an image of 256.") var diversityCanvas: Float?
  @Option(help: "Stage 2: intensities from this on keep interrupting.") var tau: Float?
  @Option(help: "Stage 2: how fast freedom to poison falls with intensity.") var beta: Float?
  @Option(help: "Stage 2: Adam steps a batch.") var poisonSteps: Int?
  @Option(help: "Stage 2: Adam's learning rate.") var poisonRate: Float?
  @Option(help: "Stage 2: largest addition before the budget is enforced.") var poisonBound: Float?
  @Option(help: "Stage 2: weight of the output loss.") var outputLossWeight: Float?
  @Option(help: "Stage 2: weight of inviting false faces on S3FD's first head (the paper: 0; its code: 20).")
  var invitationWeight: Float?
  @Option(help: "Stage 2: noise in the feature targets.") var featureNoise: Float?
  @Option(help: "Stage 2: feature levels, all (the paper) or last (its code).") var featureLevels: FeatureLevels?
  @Option(help: "Stage 2: channels that feature levels are projected to (the paper: 128), 0 for none.")
  var featureProjection: Int?
  @Flag(help: "Stage 2: poison with every pixel.") var noMask = false
  @Option(help: "Joint, poison: momentum.") var jointMomentum: Float?
  @Option(help: "Joint: mean squared change of an edit that is enough.") var interruptionTarget: Float?
  @Option(help: "Joint, poison: share of the steps that look through a model of JPEG.")
  var compressionProbability: Float?
  @Option(help: "Joint, poison: quality of that JPEG, 1 to 100.") var compressionQuality: Int?
  @Option(help: "Joint, poison: hide true faces, flood with false ones, or both.") var detectorGoal: DetectorGoal?
  @Option(
    help: "Joint, poison: how much models count, for example mtcnn=0.02,hisd=2; 1 for others.",
    transform: parseWeights) var weights: [String: Float]?
  @Option(help: "CMUA, PGD: sign steps an image.") var imageSteps: Int?
  @Option(help: "CMUA, PGD: size of a sign step.") var imageStepSize: Float?
  @Option(help: "Detectors, separated by commas, or none: \(detectorNames.joined(separator: ", ")).")
  var detectors: String?
  @Option(help: "The run's random seed.") var seed: UInt64?
  @Option(help: "Batches between checkpoints.") var checkpointEvery = 20
  @OptionGroup var gradientOptions: GradientOptions
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var group: GroupOptions
  @OptionGroup var common: CommonOptions

  func validate() throws { if recipe == nil { try validate(given(CraftRecipe())) } }

  /// The recipe with what was given on the command line instead.
  private func given(_ base: CraftRecipe) -> CraftRecipe {
    var recipe = base
    func set<T>(_ path: WritableKeyPath<CraftRecipe, T>, _ value: T?) {
      if let value { recipe[keyPath: path] = value }
    }
    set(\.data, data)
    set(\.method, method)
    set(\.epsilon, epsilon)
    set(\.size, size)
    set(\.faces, faces)
    set(\.holdOut, holdOut)
    set(\.batch, batch)
    set(\.passes, passes)
    set(\.featureSteps, featureSteps)
    set(\.stepSize, stepSize)
    set(\.momentum, momentum)
    set(\.enhancementWeight, enhancementWeight)
    set(\.enhancementTemperature, enhancementTemperature)
    set(\.enhancementStrength, enhancementStrength)
    set(\.outputShare, outputShare)
    set(\.weightMemory, weightMemory)
    set(\.weightTemperature, weightTemperature)
    set(\.diversityProbability, diversityProbability)
    set(\.diversityCanvas, diversityCanvas)
    set(\.tau, tau)
    set(\.beta, beta)
    set(\.poisonSteps, poisonSteps)
    set(\.poisonRate, poisonRate)
    set(\.poisonBound, poisonBound)
    set(\.outputLossWeight, outputLossWeight)
    set(\.invitationWeight, invitationWeight)
    set(\.featureNoise, featureNoise)
    set(\.featureLevels, featureLevels)
    set(\.featureProjection, featureProjection)
    set(\.usesMask, noMask ? false : nil)
    set(\.jointMomentum, jointMomentum)
    set(\.interruptionTarget, interruptionTarget)
    set(\.compressionProbability, compressionProbability)
    set(\.compressionQuality, compressionQuality)
    set(\.detectorGoal, detectorGoal)
    set(\.weights, weights)
    set(\.imageSteps, imageSteps)
    set(\.imageStepSize, imageStepSize)
    set(\.detectors, detectors.map(items(of:)))
    set(\.generators, generatorOptions.generators.map(items(of:)))
    set(\.seed, seed)
    set(\.keptPrecision, gradientOptions.keptPrecision)
    return recipe
  }

  private func validate(_ recipe: CraftRecipe) throws {
    if recipe.data.isEmpty { throw ValidationError("--data is missing, and the recipe names none") }
    try require("--checkpoint-every", checkpointEvery, 1...largestCount)
    try requireValid(recipe.validate)
  }

  /// The recipe of --recipe, or the defaults, with what was given besides.
  private func readRecipe() throws -> CraftRecipe {
    do {
      return given(try recipe.map { try CraftRecipe(contentsOf: URL(fileURLWithPath: $0)) } ?? CraftRecipe())
    } catch let error as FileError {
      throw ValidationError("\(error)")
    }
  }

  func run() throws {
    var recipe = try readRecipe()
    try validate(recipe)
    if recipe.method.detectors == .none { recipe.detectors = [] }
    if recipe.method.generators == .none { recipe.generators = [] }
    try items(of: recipe.detectors.joined(separator: ",")).forEach(requireDetector)
    let dataset = try loadFaces(recipe.data)
    guard dataset.count > recipe.holdOut else {
      throw ValidationError(
        "\(recipe.data) has \(dataset.count) faces; holding out \(recipe.holdOut) leaves none")
    }
    recipe.faces = min(recipe.faces, dataset.count - recipe.holdOut)

    try requireMemory(forFaces: recipe.faces, size: recipe.size, batch: recipe.batch)
    let set = try FaceSet(dataset[0..<recipe.faces], size: recipe.size)
    try Safetensors.requireReplaceable(URL(fileURLWithPath: output))
    StopSignal.listen()
    let asked = recipe
    try common.forEachMember(group) { try craft(asked, set, as: $0) }
  }

  private func craft(_ recipe: CraftRecipe, _ faces: FaceSet, as member: Member) throws {
    let (device, progress) = (member.device, member.progress)
    let generators = try recipe.generators.map { try loadGenerator($0, on: device) }
    let detectors =
      try recipe.detectors.isEmpty
      ? [] : models.loadDetectors(recipe.detectors.joined(separator: ","), on: device).map(\.detector)
    let crafter = try Crafter(
      recipe, faces: faces, generators: generators, detectors: detectors, group: member.group, device: device)
    let checkpoint = URL(fileURLWithPath: output + ".checkpoint")
    if FileManager.default.fileExists(atPath: checkpoint.path) {
      try crafter.restore(from: checkpoint)
      progress.note("resuming at batch \(crafter.step)")
    }
    try member.requireAgreement(on: "\(canonicalJSON(recipe)) \(crafter.step)")
    let started = (step: crafter.step, time: Date())
    while crafter.step < crafter.stepCount {
      try crafter.craftStep()
      try device.synchronize()
      let pace = Date().timeIntervalSince(started.time) / Double(crafter.step - started.step)
      progress.update(
        String(
          format: "batch %d/%d  %.2f s a batch, %.0f s to go", crafter.step, crafter.stepCount, pace,
          pace * Double(crafter.stepCount - crafter.step)), isLast: crafter.step == crafter.stepCount)
      let isStopped = try member.isStopped() && crafter.step < crafter.stepCount
      if member.isFirst, isStopped || crafter.step % checkpointEvery == 0 {
        try crafter.writeCheckpoint(to: checkpoint)
      }
      if isStopped {
        progress.note("stopped at batch \(crafter.step); the same command goes on")
        try StopSignal.exit()
      }
    }
    member.reportExchange(steps: crafter.step - started.step, since: started.time)
    try common.reportProfile(of: device)
    guard member.isFirst else { return }
    try crafter.write(to: URL(fileURLWithPath: output))
    progress.note(
      String(format: "%.1f%% of the perturbation's values lie below tau", try crafter.weakShare() * 100))
    try? FileManager.default.removeItem(at: checkpoint)
    print(output)
  }
}

/// The weights of models in `NAME=VALUE,NAME=VALUE`.
private func parseWeights(_ text: String) throws -> [String: Float] {
  try text.split(separator: ",").reduce(into: [:]) { weights, item in
    let parts = item.split(separator: "=").map(String.init)
    guard parts.count == 2, let value = Float(parts[1]) else {
      throw ValidationError("\(item) is not NAME=VALUE")
    }
    weights[parts[0]] = value
  }
}

/// A labelled folder if it holds a list, else a folder of images.
func loadFaces(_ path: String) throws -> Dataset {
  let url = URL(fileURLWithPath: path)
  let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
  let isLabelled = names.contains { $0.hasPrefix("list_attr") && $0.hasSuffix(".txt") }
  return isLabelled ? try Dataset(labelled: url) : try Dataset(images: url)
}
