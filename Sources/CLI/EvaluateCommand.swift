import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage
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

  @Option(help: "A labelled folder (list_attr*.txt) or a folder of face images.") var data: String?
  @Option(
    name: [.customLong("perturbation"), .customLong("compare")], parsing: .upToNextOption,
    help: "Perturbations to judge, in one table. (default: weights/perturbation.safetensors)")
  var perturbation: [String] = []
  @Flag(help: "Also judge unprotected faces (only --jpeg, --purify and --robustness change them).") var clean = false
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
  @Option(
    help: ArgumentHelp(
      """
      Judge only part I, from 0 on, of N, and write what it gave to measured.I-of-N.jsonl in --output; see --merge. slurm: as in \
      protect.
      """, valueName: "i/n|slurm"), transform: parseShard) var shard: Shard?
  @Option(
    parsing: .upToNextOption,
    help: "Judge nothing: put together what the shards of one evaluation wrote. The figures are those of one run.")
  var merge: [String] = []
  @Flag(help: "The report as JSON on stdout instead of the table.") var json = false
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard (data == nil) != merge.isEmpty else {
      throw ValidationError("evaluate takes --data, or --merge for what shards measured")
    }
    if shard != nil, output == nil { throw ValidationError("--shard writes what it measured to --output") }
    if shard != nil, !merge.isEmpty { throw ValidationError("--merge puts shards together, and is none") }
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
    if !merge.isEmpty {
      let results = try openResults(["report.json", "report.csv"])
      let (head, sum) = try MeasurementFile.merged(merge)
      return try write(sum, head.conditions, to: results)
    }
    let names = shard.map { [MeasurementFile.name(of: $0)] } ?? Self.resultNames
    var results = try openResults(names)
    // Not kept open: other shards write there.
    if shard != nil { results = nil }
    let device = try common.openDevice()
    let generators = try generatorOptions.load(on: device)
    let found = try models.loadFinders(detectors, on: device)
    let faces = try judgedFaces()
    let photos = try photos(of: faces, detector: found.first?.detector, on: device)
    let evaluator = Evaluator(
      generators: generators, detectors: found,
      networks: try networks(on: device), seed: seed, device: device)
    let attacks = try attacks(on: photos.count, device)
    let (variants, hashes) = try variants(generators, on: device)
    let task = Task(
      evaluator: evaluator, photos: photos, variants: variants, attacks: attacks,
      conditions: try conditions(perturbations: hashes))
    if let shard { try measure(shard, of: task, faces) } else { try measureAll(of: task, into: results) }
    try common.reportProfile(of: device)
  }

  private static let resultNames = ["report.json", "report.csv", "sheet.png", "index.html"].map { FilePath($0) }

  /// What is to be judged, and how.
  private struct Task {
    let evaluator: Evaluator, photos: JudgedPhotos, variants: [ProtectionVariant], attacks: [Purification]
    let conditions: EvaluationConditions

    var plan: EvaluationPlan { evaluator.plan(variants, attacks: attacks) }

    /// Measures some of the photos, in their order.
    func measure(
      _ part: Range<Int>, _ progress: Progress, each: (MeasuredPhoto, Evaluator.Judgement?) throws -> Void
    ) throws {
      var pace = EvaluationPace(of: part)
      try evaluator.measure(
        photos, part, variants, attacks: attacks,
        progress: { index, phase in
          try StopSignal.exitIfPending()
          progress.update(pace.text(index, phase))
        },
        each: {
          try each($0, $1)
          pace.finish()
        })
    }
  }

  /// Measures a shard's photos, or those that are left of them where it was stopped.
  private func measure(_ shard: Shard, of task: Task, _ faces: Dataset) throws {
    let name = MeasurementFile.name(of: shard)
    let (part, count) = (shard.range(of: task.photos.count), task.photos.count)
    var file = try MeasurementFile(
      .init(conditions: task.conditions, plan: task.plan, photos: count, shards: shard.count), shard: shard,
      files: MeasurementFile.files(of: faces), continuing: measured(name))
    let before = file.next - part.lowerBound
    common.progress.note(
      "shard \(shard.index) of \(shard.count): \(part.count) of \(count) photos"
        + (before > 0 ? ", \(before) of them measured before" : ""))
    var saved = (next: file.next, time: Date())
    func save() throws {
      try openResults([name])?.write(file.data, to: name)
      saved = (file.next, Date())
    }
    let ended = Result {
      try task.measure(file.next..<part.upperBound, common.progress) { photo, _ in
        try file.add(photo)
        // What a killed run loses is little, and so is what is written again and again.
        let (new, old) = (file.next - saved.next, saved.next - part.lowerBound)
        if new > old / 8, Date().timeIntervalSince(saved.time) > 10 { try save() }
      }
    }
    try save()
    try ended.get()
  }

  private func measureAll(of task: Task, into results: ResultFolder?) throws {
    var sum = EvaluationSum(task.plan)
    var sheet = PictureSheet(cell: size)
    var page = ProtectionPage(purpose(of: task.variants))
    try task.measure(0..<task.photos.count, common.progress) { photo, judgement in
      sum.add(photo)
      guard results != nil, let judgement else { return }
      try task.evaluator.add(judgement, to: &sheet, rows: 6)
      try page.add(task.evaluator.account(of: judgement, cell: ProtectionPage.cell))
    }
    if sum.withoutFace == task.photos.count { throw FileError(data!, "no face found") }
    if sum.withoutFace > 0 { common.progress.note("\(sum.withoutFace) photos without a face left out") }
    try write(sum, task.conditions, to: results)
    try results?.write(encodePNG(sheet.image()), to: "sheet.png")
    try results?.write(Data(page.html().utf8), to: "index.html")
  }

  /// The attacks that so many photos are judged after.
  private func attacks(on count: Int, _ device: any Device) throws -> [Purification] {
    let recipes =
      try (robustness ? robustnessProbes.map { try PurificationRecipe($0) } : [])
      + jpeg.map { try PurificationRecipe("jpeg444:\($0)@photo") } + purifiers.recipes()
    for recipe in recipes where recipe.othersNeeded >= count {
      throw ValidationError(
        "\(recipe.name) learns from \(recipe.othersNeeded) other photos, and \(count) are judged: give a larger --count"
      )
    }
    return try purifiers.load(recipes, on: device)
  }

  /// What the last variant was made against.
  private func purpose(of variants: [ProtectionVariant]) -> ProtectionPage.Purpose {
    ProtectionPage.Purpose(
      generators: variants.last?.targets?.sorted() ?? [], detectors: refine > 0 ? items(of: refineDetectors) : [])
  }

  private func openResults(_ names: [FilePath]) throws -> ResultFolder? {
    try output.map { try resultFolder($0, for: names) }
  }

  /// What a shard that was stopped has measured already; nil where it has not been at work.
  private func measured(_ name: FilePath) -> Data? {
    output.flatMap { try? contents(of: FilePath(argument: $0).pushing(name)) }
  }

  /// What is judged, of all shards.
  private func judgedFaces() throws -> Dataset {
    let dataset = try loadFaces(data!)
    let first = holdOut > 0 ? max(0, dataset.count - holdOut) : 0
    return dataset[first..<min(dataset.count, first + count)]
  }

  private func photos(of faces: Dataset, detector: (any FaceFinder)?, on device: any Device) throws -> JudgedPhotos {
    switch region {
    case .image: return .aligned(faces, size: size)
    case .faces:
      guard let detector else { throw ValidationError("--region faces needs a detector") }
      return .whole(faces, detector: detector, on: device)
    }
  }

  private struct Report: Encodable {
    var conditions: EvaluationConditions
    var variants: [VariantReport]

    private enum Key: CodingKey { case variants }

    func encode(to encoder: any Encoder) throws {
      try conditions.encode(to: encoder)
      var container = encoder.container(keyedBy: Key.self)
      try container.encode(variants, forKey: .variants)
    }
  }

  /// Prints what all photos gave, and writes it for machines.
  private func write(_ sum: EvaluationSum, _ conditions: EvaluationConditions, to results: ResultFolder?) throws {
    let reports = sum.reports.withRobustness()
    let whole = try jsonText(Report(conditions: conditions, variants: reports))
    print(json ? whole : EvaluationTable.text(reports))
    try results?.write(Data(whole.utf8), to: "report.json")
    try results?.write(Data(EvaluationTable.csv(reports).utf8), to: "report.csv")
  }
}

/// How far an evaluation is, and how long the rest will take.
private struct EvaluationPace {
  private let part: Range<Int>
  private let start = Date()
  private var finished = 0

  init(of part: Range<Int>) { self.part = part }

  mutating func finish() { finished += 1 }

  func text(_ index: Int, _ phase: String) -> String {
    let seconds = Date().timeIntervalSince(start) / Double(max(1, finished))
    let rest = finished > 0 ? String(format: ", %.0f s to go", seconds * Double(part.count - finished)) : ""
    return "photo \(index - part.lowerBound + 1)/\(part.count), \(phase)\(rest)"
  }
}
