import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage
import TSDF

extension DetectionCombination: ExpressibleByArgument {}
extension ChosenFaces: ExpressibleByArgument {}

struct PrepareCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prepare", abstract: "What an attacker does with collected photos before training: cut out the faces.",
    discussion: """
      Writes each face that is found to OUTPUT/images as PNG, what became of every photo to OUTPUT/manifest.jsonl and \
      manifest.csv, and, of photos in a folder with list_attr*.txt in CelebA's format, their labels to \
      OUTPUT/list_attr.txt, so that 'tsdf train --data OUTPUT' takes it. The originals are never touched. Running the same \
      command again does only what is not done yet; crops that an earlier run made of other inputs are removed.
      """)

  @Argument(help: "Images, or folders (walked, their structure kept).") var inputs: [String]
  @Option(name: .shortAndLong, help: "The folder for the crops.") var output: String
  @Option(help: "Detectors, separated by commas: \(finderNames.joined(separator: ", ")).") var detectors = RetinaFace
    .name
  @Option(
    help: """
      What is taken of several detectors' faces: first (of the first that finds any), union (that any finds) or vote (that \
      --votes find). Boxes that overlap with an IoU of 0.5 are one face, and the best score's stays.
      """) var combine = DetectionCombination.union
  @Option(help: "Detectors that must find a face. (default: more than half of them)") var votes: Int?
  @Option(help: "The lowest score of a face.") var threshold = defaultDetectionThreshold
  @Option(help: "The least shorter side of a face's box, in pixels of the photo.") var minSize = 0
  @Option(help: "all, or the largest face of each photo.") var faces = ChosenFaces.all
  @Option(help: "Pictures with a longer side are shrunk to this to find faces.") var longestSide = 1280
  @Option(help: "The side of a crop's square, as a multiple of the box's longer side.") var margin: Float = 1.5
  @Option(help: "Pixels a side of crops.") var size = 256
  @Flag(
    help: "Turn and scale faces so that eyes, nose and mouth lie where they always do, where a detector finds these.")
  var align = false
  @Flag(
    help: """
      Drop crops that look like an earlier one: difference hashes of 64 bits that differ in at most \
      \(CropSelection.duplicateDistance).
      """) var dropDuplicates = false
  @Option(help: "Drop crops whose Laplacian has a smaller variance (of samples of 0 to 255).") var dropBlurred = 0.0
  @Option(help: "Boxes that really are faces, as 'tsdf detect' prints them of the clean photos: other crops are junk.")
  var truth: String?
  @Option(help: "The clean photos under the same names; what the detectors find in them really are faces.")
  var clean: String?
  @Flag(help: "The summary as JSON.") var json = false
  @OptionGroup var purifier: PurifierOption
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  private var names: [String] { items(of: detectors) }

  func validate() throws {
    guard !names.isEmpty else { throw ValidationError("--detectors needs a detector to find faces") }
    for name in names { try requireFinder(name) }
    guard Set(names).count == names.count else { throw ValidationError("--detectors names a detector twice") }
    guard votes == nil || combine == .vote else { throw ValidationError("--votes is for --combine vote") }
    try require("--votes", votes, 1...names.count)
    try require("--threshold", threshold, 0...1)
    try require("--min-size", minSize, 0...65536)
    try require("--longest-side", longestSide, 16...65536)
    try require("--margin", margin, 1...10)
    try require("--size", size, 16...4096)
    try require("--drop-blurred", dropBlurred, 0...1e9)
    guard truth == nil || clean == nil else { throw ValidationError("--truth and --clean exclude each other") }
    try requireOwnFolder()
  }

  /// Refuses an output folder in which crops would overwrite originals, or be taken for photos by a second run.
  private func requireOwnFolder() throws {
    func lies(_ path: String, in folder: String) -> Bool { path == folder || path.hasPrefix(folder + "/") }
    let target = realPath(output)
    for input in inputs + [clean].compactMap({ $0 }) {
      let labelled = LabelledFolder(around: URL(fileURLWithPath: input))
      try labelled.map { InputFolder($0.list.path) }?.requireApart(from: output)
      let folder = InputFolder(labelled?.images.path ?? input)
      try folder.requireApart(from: output)
      guard !(folder.isWalked && lies(target, in: folder.path)) else {
        throw ValidationError("the output folder lies in \(input); its crops would be taken for photos")
      }
      guard !lies(folder.path, in: target + "/images") else {
        throw ValidationError("\(input) lies in the output folder's images; the originals would be overwritten")
      }
    }
    // What a run writes is its own only where there is its journal.
    let there = (try? FileManager.default.contentsOfDirectory(atPath: target)) ?? []
    if !there.contains(PreparedPhoto.journalName),
      let foreign = there.filter({ $0.hasPrefix("list_attr") || $0.hasPrefix("manifest.") }).min()
    {
      throw ValidationError("\(output) holds a \(foreign) that no run of this command made; give a folder of its own")
    }
  }

  func run() throws {
    StopSignal.listen()
    let folder = try OutputFolder(FilePath(argument: output))
    let journal = try Journal<PreparedPhoto>(in: folder, waiting: WaitingNote(folder.path).repeat)
    let device = try common.openDevice(codesPictures: true)
    let collection = try PhotoCollection(inputs)
    for failure in collection.failures { printError("\(failure)") }
    let known =
      try truth.map { try FaceTruth(list: URL(fileURLWithPath: $0)) }
      ?? clean.map { try FaceTruth(cleanFolder: URL(fileURLWithPath: $0)) }
    var settings = PreparationSettings()
    (settings.detectors, settings.combination, settings.votes) = (names, combine, votes ?? names.count / 2 + 1)
    (settings.threshold, settings.minSize, settings.faces) = (threshold, minSize, faces)
    (settings.longestSide, settings.margin, settings.size, settings.align) = (longestSide, margin, size, align)
    settings.purify = purifier.options.purify
    let ensemble = try DetectorEnsemble(
      try models.loadFinders(detectors, on: device), after: try purifier.load(on: device), on: device)
    let preparation = FacePreparation(settings, detectors: ensemble)
    let run = PrepareRun(
      preparation: preparation, selection: CropSelection(droppingDuplicates: dropDuplicates, below: dropBlurred),
      truth: known, collection: collection, folder: folder, journal: journal, progress: common.progress)
    let summary = try run.prepare()
    try preparation.withDevice { try common.reportProfile(of: $0) }
    print(json ? try jsonText(summary) : summary.text)
    if summary.counts.failed > 0 { throw ExitCode(1) }
  }
}
