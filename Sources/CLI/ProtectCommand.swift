import ArgumentParser
import Foundation
import Kernels
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
  @Option(help: "Gradient steps for each face: stronger, slower.") var refine = 20
  @Option(help: "The largest change of a channel, on a scale of -1 to 1. (default: the perturbation's)")
  var epsilon: Float?
  @Option(help: "The side of a face's square, as a multiple of its box.") var margin: Float = 1.5
  @Option(help: "keep, png (exact) or jpeg.") var format = OutputFormat.keep
  @Option(help: "JPEG quality, 1 to 100.") var quality = 95
  @Option(help: "Pictures with a longer side are shrunk to this to find faces.") var longestSide = 1280
  @Option(
    help: """
      Detectors to refine against, separated by commas; the first finds the faces. Adding mtcnn weakens what is reached \
      against retinaface and after JPEG.
      """) var detectors = RetinaFace.name
  @Option(help: "The run's random seed.") var seed: UInt64 = 1
  @Flag(help: "The summary as JSON.") var json = false
  @OptionGroup var models: ModelOptions
  @OptionGroup var common: CommonOptions

  enum OutputFormat: String, ExpressibleByArgument, CaseIterable { case keep, png, jpeg }

  func validate() throws {
    if let epsilon, !(epsilon > 0 && epsilon <= 1) { throw ValidationError("--epsilon must be above 0 and at most 1") }
    if refine < 0 { throw ValidationError("--refine must not be negative") }
    if !(1...100).contains(quality) { throw ValidationError("--quality must be from 1 to 100") }
    if !(margin >= 1 && margin <= 10) { throw ValidationError("--margin must be from 1 to 10") }
    if longestSide < 64 { throw ValidationError("--longest-side must be at least 64") }
    let target = URL(fileURLWithPath: output).resolvingSymlinksInPath().standardizedFileURL.path
    for input in inputs {
      let source = URL(fileURLWithPath: input).resolvingSymlinksInPath().standardizedFileURL
      var isDirectory: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: source.path, isDirectory: &isDirectory)
      let folder = isDirectory.boolValue ? source.path : source.deletingLastPathComponent().path
      if target == folder {
        throw ValidationError("the output folder is that of \(input); the originals would be overwritten")
      }
    }
  }

  private struct Summary: Encodable {
    var files = 0, done = 0, skipped = 0, failures = 0
    var faces = 0, withoutFace = 0
    var psnr = Double.nan, ssim = Double.nan
    var seconds = 0.0, imagesPerSecond = 0.0
  }

  func run() throws {
    let device = try common.openDevice()
    let progress = common.progress
    let work = try openWork(inputs)
    let universalURL = locate(perturbation ?? "weights/perturbation.safetensors")
    let (universal, made) = try loadPerturbation(universalURL, on: device)
    var settings = ProtectionSettings()
    (settings.region, settings.epsilon, settings.refineSteps) = (region, epsilon ?? made, refine)
    (settings.margin, settings.longestSide, settings.seed) = (margin, longestSide, seed)
    settings.perturbation = sha256(try Data(contentsOf: universalURL))
    // Only what this run needs is read.
    let found = region == .faces || refine > 0 ? try models.loadDetectors(detectors, on: device) : []
    if region == .faces && found.isEmpty { throw ValidationError("--region faces needs a detector") }
    let refiner =
      refine > 0
      ? Refiner(generators: [try models.loadGenerator(on: device)], detectors: found.map(\.detector)) : nil
    let protector = try Protector(
      perturbation: universal, settings: settings, detector: found.first?.detector, refiner: refiner, device: device)

    let folder = URL(fileURLWithPath: output)
    let journal = Journal(folder: folder)
    let settingsHash = sha256(
      Data(try jsonText(settings).utf8) + Data("\(format.rawValue) \(quality) \(detectors)".utf8))
    var summary = Summary()
    summary.files = work.items.count + work.failures.count
    summary.failures = work.failures.count
    var quality: [(psnr: Double, ssim: Double)] = []
    var outputs: Set<String> = []
    let start = Date()
    for (index, item) in work.items.enumerated() {
      do {
        let name = outputName(item)
        guard outputs.insert(name).inserted else {
          throw FileError(item.url.path, "would have the same name as another input's copy, \(name)")
        }
        let entry: Journal.Entry
        let source = sha256((try? Data(contentsOf: item.url)) ?? Data())
        if let finished = journal.finished(output: name, source: source, settings: settingsHash) {
          entry = finished
          summary.skipped += 1
        } else {
          entry = try protect(item, name, protector, folder, source, settingsHash, settings, progress)
          try journal.add(entry)
          summary.done += 1
        }
        summary.faces += entry.faces
        if region == .faces && entry.faces == 0 { summary.withoutFace += 1 }
        quality.append((entry.psnr ?? .infinity, entry.ssim))
      } catch {
        summary.failures += 1
        printError("\(error)")
      }
      let pace = Date().timeIntervalSince(start) / Double(index + 1)
      progress.update(
        String(
          format: "%d/%d images  %.2f s each, %.0f s to go", index + 1, work.items.count, pace,
          pace * Double(work.items.count - index - 1)), isLast: index + 1 == work.items.count)
    }
    summary.seconds = Date().timeIntervalSince(start)
    summary.imagesPerSecond = Double(summary.done) / max(summary.seconds, 1e-9)
    let finite = quality.map(\.psnr).filter(\.isFinite)
    summary.psnr = finite.reduce(0, +) / Double(finite.count)
    summary.ssim = quality.map(\.ssim).reduce(0, +) / Double(quality.count)
    try common.reportProfile(of: device)
    if json {
      print(try jsonText(summary))
    } else {
      print(
        """
        \(summary.done) protected, \(summary.skipped) done before, \(summary.failures) failed
        \(summary.faces) faces; \(summary.withoutFace) images without a face that was found, protected as a whole
        PSNR \(String(format: "%.1f", summary.psnr)) dB, SSIM \(String(format: "%.3f", summary.ssim)) on average; \
        \(String(format: "%.2f", summary.imagesPerSecond)) images a second
        """)
    }
    if summary.failures > 0 { throw ExitCode(1) }
  }

  private func outputName(_ item: WorkList.Item) -> String {
    guard format != .keep, ImageType(pathExtension: item.url.pathExtension)?.rawValue != format.rawValue else {
      return item.relativePath
    }
    let base = (item.relativePath as NSString).deletingPathExtension
    return base + (format == .png ? ".png" : ".jpg")
  }

  private func protect(
    _ item: WorkList.Item, _ name: String, _ protector: Protector, _ folder: URL, _ source: String,
    _ settingsHash: String, _ settings: ProtectionSettings, _ progress: Progress
  ) throws -> Journal.Entry {
    let start = Date()
    var file = try ImageFile(contentsOf: item.url)
    if let note = file.note { progress.note("\(item.url.path): \(note)") }
    let upright = file.image.upright(from: file.orientation)
    let result = try protector.protect(upright)
    if region == .faces && result.faceCount == 0 {
      progress.note("\(item.url.path): no face found, the whole image is protected")
    }
    file.image = result.image.stored(as: file.orientation)
    let type = format == .keep ? file.type : (format == .png ? .png : .jpeg)
    let data = try file.encoded(as: type, quality: quality)
    let target = folder.appendingPathComponent(name)
    try writeAtomically(data, to: target)
    if type == .png {
      let change = try ImageFile(contentsOf: target).image.upright(from: file.orientation).largestDifference(
        from: upright)
      guard change <= settings.epsilon + 1e-6 else {
        throw FileError(target.path, "differs by \(change) from the original, more than the budget \(settings.epsilon)")
      }
    }
    return Journal.Entry(
      output: name, source: source, settings: settingsHash, faces: result.faceCount,
      psnr: result.psnr.isFinite ? result.psnr : nil, ssim: result.ssim, seconds: Date().timeIntervalSince(start))
  }
}
