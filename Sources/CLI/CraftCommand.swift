import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

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
  @Option(help: "Where the perturbation goes (.safetensors).") var output: String
  @OptionGroup var fields: CraftOptions
  @Flag(help: "Stage 2: poison with every pixel.") var noMask = false
  @Option(help: "Batches between checkpoints.") var checkpointEvery = 20
  @OptionGroup var gradientOptions: GradientOptions
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var group: GroupOptions
  @OptionGroup var common: CommonOptions

  func validate() throws { if recipe == nil { try validate(try given(CraftRecipe())) } }

  /// The recipe with what was given on the command line instead.
  private func given(_ base: CraftRecipe) throws -> CraftRecipe {
    var recipe = try gradientOptions.applied(to: fields.applied(to: base))
    if noMask { recipe.usesMask = false }
    if let generators = generatorOptions.generators { recipe.generators = items(of: generators) }
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
      return try given(recipe.map { try CraftRecipe(contentsOf: locate($0)) } ?? CraftRecipe())
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

/// A labelled folder if it holds a list, else a folder of images.
func loadFaces(_ path: String) throws -> Dataset {
  let url = URL(fileURLWithPath: path)
  let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
  let isLabelled = names.contains { $0.hasPrefix("list_attr") && $0.hasSuffix(".txt") }
  return isLabelled ? try Dataset(labelled: url) : try Dataset(images: url)
}
