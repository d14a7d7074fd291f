import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage
import TSDF

extension ProtectedRegion: ExpressibleByArgument {}

struct ProtectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "protect", abstract: "Protect face photos: the main job.",
    discussion: """
      Reads pictures (JPEG, PNG, WebP, TIFF, HEIC, AVIF, GIF, BMP) and folders of them, and writes protected copies of the same \
      types (of GIF and BMP: PNG) under the same names to the output folder, with the permissions and times of the originals, \
      which are never touched. No file is replaced but a copy that tsdf made and nobody changed. Running the same command again \
      does only what is not done yet; copies are left out where they lie among the inputs. What is no picture is counted by \
      kind. Ctrl-C ends it after the pictures in hand. With --shard several processes, on several machines too, share the files out and \
      write to one folder at once.
      """)

  @Argument(help: "Images, or folders (walked, their structure kept).") var inputs: [String]
  @Option(name: .shortAndLong, help: "The folder for the protected copies.") var output: String
  @Option(
    help: """
      The universal perturbation: laid on with --refine 0, begun with by --start universal, and used for faces too small to refine; \
      else its --epsilon alone counts. (default: weights/perturbation.safetensors)
      """) var perturbation: String?
  @Option(help: "faces: each face's square; image: the whole picture (aligned faces).") var region = ProtectedRegion
    .faces
  @Option(
    help:
      "Gradient steps for each face: stronger, slower. A face that is still found is refined at most twice more, in two fifths of them."
  )
  var refine = Protector.defaultSteps
  @OptionGroup var refinement: RefinementOptions
  @Option(help: "The largest change of a channel, on a scale of -1 to 1. (default: the perturbation's)")
  var epsilon: Float?
  @Option(help: "The side of a face's square, as a multiple of its box: what generators are given.")
  var margin = ProtectionSettings().margin
  @Option(help: "The same of the square that refinement changes: detectors look around faces too. At least --margin.")
  var extent = ProtectionSettings().extent
  @Option(help: "keep, png (exact) or jpeg.") var format = OutputFormat.keep
  @Flag(help: "Copy files that are no pictures, as they are.") var copyOthers = false
  @Option(help: "The quality of JPEG and of lossy WebP, HEIC and AVIF copies, 1 to 100.") var quality = 95
  @Flag(
    inversion: .prefixedNo,
    help: "Let the copies' metadata say that tsdf protected them (XMP's tsdf:ProtectedBy), so that it is known later.")
  var mark = true
  @Option(
    help: """
      Pictures with a longer side are shrunk to this to find faces: faster, but small faces may be missed. (default: none; faces \
      are looked for at full size)
      """) var longestSide: Int?
  @Option(
    help: ArgumentHelp(
      """
      A face that is protected besides those that are found: the place of its left upper corner, width and height, in pixels of the \
      photo as viewers show it. May be given several times.
      """, valueName: "x,y,w,h"), transform: faceBox) var face: [Box] = []
  @Option(
    help: """
      Detectors that find the faces and are refined against, separated by commas. Each more (centerface, \
      blazeface-short, mtcnn, dlib-cnn) weakens what is reached against the others and generators, and takes time.
      """) var detectors = Protector.defaultDetectors.joined(separator: ",")
  @Option(
    help: """
      A folder for a page (index.html) that shows what protection does to each photo: before and after, and what generators make of \
      both. It holds the originals' faces: it is for you alone.
      """) var report: String?
  @Option(
    help: ArgumentHelp(
      """
      Do only part I, from 0 on, of N; the others are other processes'. slurm: the task's number in a job array, in a step of srun, or \
      in both.
      """, valueName: "i/n|slurm"), transform: parseShard) var shard: Shard?
  @Option(help: "The run's random seed.") var seed: UInt64 = 1
  @Flag(help: "The summary as JSON.") var json = false
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var group: GroupOptions
  @OptionGroup var common: CommonOptions

  enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable { case keep, png, jpeg }

  func validate() throws {
    try items(of: detectors).forEach(requireDetector)
    if let epsilon, !(epsilon > 0 && epsilon <= 1) { throw ValidationError("--epsilon must be above 0 and at most 1") }
    try require("--refine", refine, 0...1_000_000)
    try require("--quality", quality, 1...100)
    try require("--margin", margin, 1...10)
    try require("--extent", extent, 1...10)
    try require("--longest-side", longestSide, 64...65536)
    if shard != nil, group.mpi { throw ValidationError("--mpi shares files out by itself, without --shard") }
    if shard != nil || group.mpi, report != nil {
      throw ValidationError("--report tells of all photos: ask for it in a run without --shard and --mpi")
    }
    if !face.isEmpty, region == .image { throw ValidationError("--face goes with --region faces") }
  }

  func run() throws {
    guard group.mpi else {
      if try protect(shard, on: common.deviceRequests()) { throw ExitCode(1) }
      return
    }
    var hasFailed = false
    try group.asProcess { processes in
      let requests = try common.deviceRequests()
      hasFailed = try protect(
        Shard(processes.rank, of: processes.count), on: [requests[processes.rankOnMachine % requests.count]], processes)
    }
    if hasFailed { throw ExitCode(1) }
  }

  /// Protects what is in a shard.
  /// - Parameters:
  ///   - requests: devices, as `openDevice` takes them.
  ///   - processes: who does the other shards.
  /// - Returns: whether some photo failed, here or there.
  private func protect(_ shard: Shard?, on requests: [String], _ processes: MPIGroup? = nil) throws -> Bool {
    StopSignal.listen()
    let folder = FilePath(argument: output)
    // One of the shards tells of what cannot be opened.
    let work = try openWork(
      inputs, leavingOut: folder, isPictureNeeded: !copyOthers, tellsProblems: shard.map { $0.index == 0 } ?? true)
    // Made and checked before any work.
    let report = try report.map { try resultFolder($0, for: ["index.html"]) }
    let copies = try CopyFolder(folder, shard: shard, waiting: WaitingNote(folder).repeat)
    let (universal, made, recipe) = try loadPerturbation(perturbationURL, on: CPUDevice())
    if recipe?.method == .pgd {
      throw ValidationError(
        "\(perturbationURL.path) was made for comparison: PGD has no universal part; --refine adapts one to each face")
    }
    if refine == 0, try universal.values().allSatisfy({ $0 == 0 }) {
      throw FileError(perturbationURL.path, "changes nothing: it is zero everywhere")
    }
    var settings = ProtectionSettings()
    (settings.region, settings.epsilon, settings.refineSteps) = (region, epsilon ?? made, refine)
    (settings.margin, settings.extent) = (margin, extent)
    (settings.longestSide, settings.seed, settings.faces) = (longestSide, seed, face)
    try refinement.apply(to: &settings)
    settings.perturbation = try fileDigest(perturbationURL)
    let run = ProtectRun(
      copies: copies, shard: shard, settings: try CopySettings(self, settings).digest, region: region,
      options: .init(
        format: format, quality: quality, isMarking: mark, copiesOthers: copyOthers, isReported: report != nil),
      progress: common.progress)
    var used: SharedProtector?
    let summary = try run.protect(work) {
      let made = try SharedProtector(devices: requests.count) {
        try protector(settings, on: common.openDevice(codesPictures: true, named: requests[$0]))
      }
      used = made
      return made
    }
    try used?.forEachDevice { try common.reportProfile(of: $0) }
    print(json ? try jsonText(summary) : summary.text)
    let hasFailed = try processes?.any(summary.failures > 0) ?? (summary.failures > 0)
    if StopSignal.isPending { common.progress.note("stopped; the same command goes on") }
    try StopSignal.exitIfPending()
    if let report {
      used = nil
      try report.write(Data(try page(of: run.finished).utf8), to: "index.html")
    }
    return hasFailed
  }

  /// Judges copies for people; with a device of its own, for the protector's is given back.
  private func page(of photos: [ProtectReport.Photo]) throws -> String {
    let device = try common.openDevice(named: common.deviceRequests()[0])
    let found = try models.loadFinders(detectors, on: device)
    return try ProtectReport(
      generators: generatorOptions.load(default: Protector.defaultGenerators, on: device), detectors: found,
      finder: region == .faces ? found.first?.detector : nil, classifier: refinement.loadClassifier(on: device),
      seed: seed, device: device
    ).page(of: photos, progress: common.progress)
  }

  private var perturbationURL: URL { locate(perturbation ?? "weights/perturbation.safetensors") }

  /// Reads what protecting needs, and no more.
  private func protector(_ settings: ProtectionSettings, on device: any Device) throws -> Protector {
    let (universal, _, _) = try loadPerturbation(perturbationURL, on: device)
    let found = region == .faces || refine > 0 ? try models.loadDetectors(detectors, on: device) : []
    if region == .faces && found.isEmpty { throw ValidationError("--region faces needs a detector") }
    let refiner =
      refine > 0
      ? try refinement.refiner(
        generators: generatorOptions.load(default: Protector.defaultGenerators, on: device).map(\.generator),
        detectors: found.map(\.detector), on: device)
      : nil
    return try Protector(
      perturbation: universal, settings: settings, detectors: found.map(\.detector), refiner: refiner, device: device)
  }
}

/// A face's box from X,Y,W,H.
@Sendable private func faceBox(_ text: String) throws -> Box {
  let values = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
  let range = 0...1_000_000
  guard values.count == 4, let x = values[0], let y = values[1], let width = values[2], let height = values[3],
    [x, y, width, height].allSatisfy(range.contains), width > 0, height > 0
  else {
    throw ValidationError("\(text) is no box X,Y,W,H of whole numbers, from 0 to \(range.upperBound), W and H above 0")
  }
  return Box(x0: Float(x), y0: Float(y), x1: Float(x + width), y1: Float(y + height))
}
