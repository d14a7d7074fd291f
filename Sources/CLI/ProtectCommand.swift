import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

extension ProtectedRegion: ExpressibleByArgument {}

struct ProtectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "protect", abstract: "Protect face photos: the main job.",
    discussion: """
      Reads PNG and JPEG files and folders of them, and writes protected copies under the same names to the output \
      folder; the originals are never touched. Running the same command again does only what is not done yet.
      """)

  @Argument(help: "Images, or folders (walked, their structure kept).") var inputs: [String]
  @Option(name: .shortAndLong, help: "The folder for the protected copies.") var output: String
  @Option(help: "The universal perturbation. (default: weights/perturbation.safetensors)") var perturbation: String?
  @Option(help: "faces: each face's square; image: the whole picture (aligned faces).") var region = ProtectedRegion
    .faces
  @Option(help: "Gradient steps for each face: stronger, slower. A face that is still found is refined twice more.")
  var refine = Protector.defaultSteps
  @OptionGroup var refinement: RefinementOptions
  @Option(help: "The largest change of a channel, on a scale of -1 to 1. (default: the perturbation's)")
  var epsilon: Float?
  @Option(help: "The side of a face's square, as a multiple of its box.") var margin: Float = 1.5
  @Option(help: "keep, png (exact) or jpeg.") var format = OutputFormat.keep
  @Option(help: "JPEG quality, 1 to 100.") var quality = 95
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
  @Option(help: "The run's random seed.") var seed: UInt64 = 1
  @Flag(help: "The summary as JSON.") var json = false
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  enum OutputFormat: String, ExpressibleByArgument, CaseIterable, Sendable { case keep, png, jpeg }

  func validate() throws {
    if let epsilon, !(epsilon > 0 && epsilon <= 1) { throw ValidationError("--epsilon must be above 0 and at most 1") }
    try require("--refine", refine, 0...1_000_000)
    try require("--quality", quality, 1...100)
    try require("--margin", margin, 1...10)
    try require("--longest-side", longestSide, 64...65536)
    if !face.isEmpty, region == .image { throw ValidationError("--face goes with --region faces") }
    for input in inputs { try InputFolder(input).requireApart(from: output) }
  }

  func run() throws {
    let device = try common.openDevice(codesPictures: true)
    let work = try openWork(inputs)
    let universalURL = locate(perturbation ?? "weights/perturbation.safetensors")
    let (universal, made, recipe) = try loadPerturbation(universalURL, on: device)
    if recipe?.method == .pgd {
      throw ValidationError(
        "\(universalURL.path) was made for comparison: PGD has no universal part; --refine adapts one to each face")
    }
    var settings = ProtectionSettings()
    (settings.region, settings.epsilon, settings.refineSteps) = (region, epsilon ?? made, refine)
    (settings.margin, settings.longestSide, settings.seed, settings.faces) = (margin, longestSide, seed, face)
    try refinement.apply(to: &settings)
    settings.perturbation = sha256(try Data(contentsOf: universalURL)).hexadecimal
    // Only what this run needs is read.
    let found = region == .faces || refine > 0 ? try models.loadDetectors(detectors, on: device) : []
    if region == .faces && found.isEmpty { throw ValidationError("--region faces needs a detector") }
    let refiner =
      refine > 0
      ? try refinement.refiner(
        generators: generatorOptions.load(default: GeneratorOptions.breakable, on: device).map(\.generator),
        detectors: found.map(\.detector), on: device)
      : nil
    let protector = SharedProtector(
      try Protector(
        perturbation: universal, settings: settings, detectors: found.map(\.detector), refiner: refiner,
        device: device))

    let settingsHash = sha256(
      Data(try jsonText(settings).utf8)
        + Data(
          "\(format.rawValue) \(quality) \(detectors) \(refinement.detectorGoal.rawValue) \(generatorOptions.generators ?? "") \(refinement.through)"
            .utf8)
    ).hexadecimal
    let run = ProtectRun(
      protector: protector, settingsHash: settingsHash, folder: URL(fileURLWithPath: output), format: format,
      quality: quality, progress: common.progress)
    let summary = run.protect(work)
    try protector.withDevice { try common.reportProfile(of: $0) }
    if json {
      print(try jsonText(summary))
    } else {
      print(
        """
        \(summary.done) protected, \(summary.skipped) done before, \(summary.failures) failed
        \(summary.faces) faces, \(summary.stillFound) still found after refinement; \(summary.withoutFace) images without a \
        face that was found, protected as a whole
        PSNR \(String(format: "%.1f", summary.psnr)) dB, SSIM \(String(format: "%.3f", summary.ssim)) on average; \
        \(String(format: "%.2f", summary.imagesPerSecond)) images a second
        """)
    }
    if summary.failures > 0 { throw ExitCode(1) }
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
