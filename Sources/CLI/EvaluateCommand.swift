import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Judge protections on held-out faces: generators' edits, detectors, visibility.",
    discussion: """
      Judges each perturbation laid on faces as protect does it, as it is and, with --refine, refined for each face; after \
      JPEG too with --jpeg. With --region faces detectors look at whole photos, and generators at the faces cut out of \
      them. Prints a table; --output writes report.json, report.csv, index.html (faces and edits before and after, in \
      plain words) and sheet.png (original, protected, difference x10, edit of the \
      original, edit of the protected, detections on both).
      """)

  @Option(help: "A labelled folder (list_attr*.txt) or a folder of face images.") var data: String
  @Option(
    name: [.customLong("perturbation"), .customLong("compare")], parsing: .upToNextOption,
    help: "Perturbations to judge, in one table. (default: weights/perturbation.safetensors)")
  var perturbation: [String] = []
  @Flag(help: "Also judge unprotected faces (only JPEG changes them).") var clean = false
  @Flag(help: "Also judge uniform random noise of the first perturbation's budget.") var noise = false
  @Option(help: "Also judge the last perturbation with this many steps of refinement for each face.") var refine = 0
  @OptionGroup var refinement: RefinementOptions
  @Option(
    help: """
      The generators that refinement works against, as in --generators. (default: those judged that protect works \
      against by default, else all judged)
      """) var refineGenerators: String?
  @Option(help: "The detectors that refinement works against, separated by commas, or none.")
  var refineDetectors = Protector.defaultDetectors.joined(separator: ",")
  @OptionGroup var purifiers: PurifierOptions
  @Option(
    parsing: .upToNextOption,
    help: "Also judge after JPEG of these qualities, colours at full size: short for --purify jpeg444:Q@photo.")
  var jpeg: [Int] = []
  @Option(help: "Judge only the last this many faces of the data; 0 for all.") var holdOut = 480
  @Option(help: "At most this many pictures.") var count = 100
  @Option(
    help: "image: the data are aligned faces; faces: photos, in which the first of the detectors finds the faces.")
  var region = ProtectedRegion.image
  @Option(help: "Pixels a side that aligned faces are brought to, and of the sheet's pictures.") var size = 256
  @Option(help: "Detectors, separated by commas, or none.") var detectors = "\(RetinaFace.name),\(MTCNN.name)"
  @Option(
    help: """
      What networks say of edits besides, separated by commas: lpips (how different they look), identity (the cosine of whom they \
      show), fid (the Frechet inception distance of all). tools/fetch-models gets the weights.
      """) var metrics: String?
  @Option(help: "Inception v3's weights in place of the fetched: pytorch-fid's pt_inception-2015-12-05.pth, say.")
  var inception: String?
  @Flag(
    help: """
      Also judge after each of \(robustnessProbes.joined(separator: ", ")), and how much of L2mask is kept on average.
      """) var robustness = false
  @Option(help: "The run's random seed.") var seed: UInt64 = 1
  @Option(name: .shortAndLong, help: "A folder for report.json, report.csv, sheet.png and index.html.") var output:
    String?
  @Flag(help: "The report as JSON on stdout instead of the table.") var json = false
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try require("--count", count, 1...largestCount)
    try require("--size", size, 64...8192)
    try require("--refine", refine, 0...1_000_000)
    try require("--hold-out", holdOut, 0...largestCount)
    try items(of: detectors).forEach(requireFinder)
    try items(of: refineDetectors).forEach(requireDetector)
    let known = MetricName.allCases.map(\.rawValue)
    for name in metrics.map(items(of:)) ?? [] where !known.contains(name) {
      throw ValidationError("there is no metric \(name); there are \(known.joined(separator: ", "))")
    }
    if !jpeg.allSatisfy((1...100).contains) { throw ValidationError("--jpeg takes qualities from 1 to 100") }
  }

  private struct Report: Encodable {
    var tsdf: String, data: String
    var holdOut: Int, size: Int, seed: UInt64
    var region: ProtectedRegion
    var perturbations: [String: String]
    var variants: [VariantReport]
  }

  private func generatorsToRefine(_ judged: [(name: String, generator: any Generator)], on device: any Device) throws
    -> [any Generator]
  {
    if let refineGenerators {
      return try GeneratorOptions.load(items(of: refineGenerators), on: device).map(\.generator)
    }
    let breakable = judged.map(\.generator).filter { GeneratorOptions.breakable.contains(type(of: $0).name) }
    return breakable.isEmpty ? judged.map(\.generator) : breakable
  }

  /// What is judged, and the SHA-256 of each perturbation's file.
  private func variants(_ generators: [(name: String, generator: any Generator)], on device: any Device) throws -> (
    [ProtectionVariant], hashes: [String: String]
  ) {
    let targets = try models.loadDetectors(refineDetectors, on: device).map(\.detector)
    let refined = refine > 0 ? try generatorsToRefine(generators, on: device) : []
    let refiner =
      refine > 0
      ? try refinement.refiner(generators: refined, detectors: targets, on: device) : nil
    func variant(_ name: String, _ perturbation: Tensor, _ epsilon: Float, steps: Int = 0) throws -> ProtectionVariant {
      var settings = ProtectionSettings()
      (settings.region, settings.epsilon, settings.refineSteps, settings.seed) = (region, epsilon, steps, seed)
      try refinement.apply(to: &settings)
      return .protector(
        try Protector(
          perturbation: perturbation, settings: settings, detectors: targets, refiner: steps > 0 ? refiner : nil,
          device: device), name: name)
    }
    var variants: [ProtectionVariant] = clean ? [.none] : []
    var hashes: [String: String] = [:]
    let paths = perturbation.isEmpty ? ["weights/perturbation.safetensors"] : perturbation
    for (index, path) in paths.enumerated() {
      let url = locate(path)
      let (universal, epsilon, recipe) = try loadPerturbation(url, on: device)
      let name = url.deletingPathExtension().lastPathComponent
      hashes[name] = sha256(try Data(contentsOf: url)).hexadecimal
      if index == 0, noise {
        var random = RandomStream(seed: seed)
        let values = try random.uniform(universal.shape, in: -epsilon..<epsilon, device: device)
        variants.append(try variant("noise", values, epsilon))
      }
      if let recipe, recipe.method == .pgd {
        guard region == .image else {
          throw ValidationError("\(path) is PGD's, which perturbs aligned faces: --region image")
        }
        let pgd = ImagePGD(generators: generators.map(\.generator), recipe: recipe, device: device)
        variants.append(
          .pgd(pgd, name: name, steps: recipe.imageSteps, epsilon: epsilon, seed: seed, on: device))
      } else {
        variants.append(try variant(name, universal, epsilon))
        // An item is a model, or MODEL=FILE.
        let targets = recipe.map { Set($0.generators.map { String($0.prefix { $0 != "=" }) }) }
        variants[variants.count - 1].targets = targets
        if index == paths.count - 1, refine > 0 {
          variants.append(try variant("\(name) + \(refine) steps", universal, epsilon, steps: refine))
          variants[variants.count - 1].targets = targets?.union(refined.map { type(of: $0).name })
        }
      }
    }
    return (variants, hashes)
  }

  private func networks(on device: any Device) throws -> MetricNetworks {
    let wanted = metrics.map(items(of:))?.compactMap(MetricName.init) ?? []
    return try MetricNetworks(
      wanted + (inception == nil ? [] : [.fid]),
      from: { name in
        if name == .fid, let inception { return URL(fileURLWithPath: inception) }
        return models.weights(of: name)
      }, on: device)
  }

  func run() throws {
    StopSignal.listen()
    let results = try output.map {
      try resultFolder($0, for: ["report.json", "report.csv", "sheet.png", "index.html"])
    }
    let device = try common.openDevice()
    let progress = common.progress
    let generators = try generatorOptions.load(on: device)
    let found = try models.loadFinders(detectors, on: device)
    let dataset = try loadFaces(data)
    let first = holdOut > 0 ? max(0, dataset.count - holdOut) : 0
    let chosen = dataset[first..<min(dataset.count, first + count)]
    if region == .image { try requireMemory(forFaces: chosen.count, size: size, batch: 1) }
    let photos: [JudgedPhoto]
    switch region {
    case .image: photos = try JudgedPhoto.aligned(chosen, size: size)
    case .faces:
      guard let finder = found.first?.detector else { throw ValidationError("--region faces needs a detector") }
      photos = try JudgedPhoto.photos(chosen, detector: finder, on: device)
      guard !photos.isEmpty else { throw FileError(data, "no face found") }
      if photos.count < chosen.count { progress.note("\(chosen.count - photos.count) photos without a face left out") }
    }

    let evaluator = Evaluator(
      generators: generators, detectors: found,
      networks: try networks(on: device), seed: seed, device: device)
    let report = { (phase: String, done: Int) in
      try StopSignal.exitIfPending()
      progress.update("\(phase): \(done)/\(photos.count) photos")
    }
    let attacks = try purifiers.load(
      (robustness ? robustnessProbes.map { try PurificationRecipe($0) } : [])
        + jpeg.map { try PurificationRecipe("jpeg444:\($0)@photo") }
        + purifiers.recipes(), on: device)
    let baseline = try evaluator.baseline(photos, progress: report)
    let (variants, hashes) = try variants(generators, on: device)
    var reports: [VariantReport] = []
    var shown: [Image] = []
    for variant in variants {
      let (found, images) = try evaluator.evaluate(variant, baseline, attacks: attacks, progress: report)
      reports += robustness ? found.withRobustness() : found
      shown = images
    }
    let whole = try jsonText(
      Report(
        tsdf: tsdfVersion, data: data, holdOut: holdOut, size: size, seed: seed, region: region, perturbations: hashes,
        variants: reports))
    print(json ? whole : EvaluationTable.text(reports))
    if let results {
      try results.write(Data(whole.utf8), to: "report.json")
      try results.write(Data(EvaluationTable.csv(reports).utf8), to: "report.csv")
      let sheet = try evaluator.sheet(baseline, protected: shown, rows: 6, cell: size)
      try results.write(encodePNG(sheet), to: "sheet.png")
      var page = ProtectionPage(
        ProtectionPage.Purpose(
          generators: variants.last?.targets?.sorted() ?? [],
          detectors: refine > 0 ? items(of: refineDetectors).filter { $0 != "none" } : []))
      for account in try evaluator.accounts(baseline, protected: shown, cell: ProtectionPage.cell) {
        try page.add(account)
      }
      try results.write(Data(page.html().utf8), to: "index.html")
    }
    try common.reportProfile(of: device)
  }
}
