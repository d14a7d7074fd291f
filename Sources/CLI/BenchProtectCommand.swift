import ArgumentParser
import Foundation
import Kernels
import Pictures
import Synchronization
import SystemPackage
import TSDF

struct BenchProtectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "protect",
    abstract: "Images a second of protect --region image --refine 0, against decoding and re-encoding alone.",
    discussion: "Both run on every core, in turns, over the same files, into a temporary folder.")

  @Argument(help: "Images, or folders.") var inputs: [String]
  @Option(help: "Images of a round; the inputs are taken again and again.") var count = 100
  @Option(help: "Rounds of each.") var rounds = 3
  @Option(help: "The universal perturbation. (default: weights/perturbation.safetensors)") var perturbation: String?
  @Option(help: "The quality of JPEG and of lossy WebP, HEIC and AVIF copies, 1 to 100.") var quality = 95
  @Flag(help: "As JSON.") var json = false
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try require("--count", count, 1...10_000_000)
    try require("--rounds", rounds, 1...10_000)
    try require("--quality", quality, 1...100)
  }

  private struct Result: Encodable {
    var images: Int
    /// Images a second of each round.
    var codecs: [Double] = [], protect: [Double] = []
    /// The median of the rounds' ratios.
    var ratio = 0.0
    /// The most memory ever resident, after the first and after the last round.
    var firstPeakBytes = 0, lastPeakBytes = 0
  }

  func run() throws {
    let found = try openWork(inputs).items
    let items = (0..<count).map { index in
      let item = found[index % found.count]
      return WorkList.Item(
        path: item.path, relativePath: FilePath("\(index).\(item.path.extension ?? "")"), kind: item.kind)
    }
    let url = locate(perturbation ?? "weights/perturbation.safetensors")
    let (_, epsilon, _) = try loadPerturbation(url, on: CPUDevice())
    var settings = ProtectionSettings()
    (settings.region, settings.epsilon) = (.image, epsilon)
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tsdf-bench-\(getpid())")
    defer { try? FileManager.default.removeItem(at: folder) }
    let protector = try SharedProtector { _ in
      let device = try common.openDevice(codesPictures: true)
      let (universal, _, _) = try loadPerturbation(url, on: device)
      return try Protector(perturbation: universal, settings: settings, detectors: [], refiner: nil, device: device)
    }
    var result = Result(images: count)
    for round in 0..<rounds {
      result.codecs.append(Double(count) / (try timed { try recode(items, into: folder) }))
      try FileManager.default.removeItem(at: folder)
      let run = ProtectRun(
        copies: try CopyFolder(FilePath(folder.path)), settings: "", region: .image, options: .init(quality: quality),
        progress: Progress(isQuiet: true))
      var failures = 0
      result.protect.append(
        Double(count) / (try timed { failures = try run.protect(WorkList(items: items)) { protector }.failures }))
      guard failures == 0 else { throw ExitCode(1) }
      try FileManager.default.removeItem(at: folder)
      result.lastPeakBytes = peakResidentBytes()
      if round == 0 { result.firstPeakBytes = result.lastPeakBytes }
    }
    let ratios = zip(result.protect, result.codecs).map { $0 / $1 }.sorted()
    result.ratio = (ratios[(rounds - 1) / 2] + ratios[rounds / 2]) / 2
    if json { return print(try jsonText(result)) }
    for (alone, whole) in zip(result.codecs, result.protect) {
      print(String(format: "codecs alone %.1f, protect %.1f images a second: %.2f", alone, whole, whole / alone))
    }
    print(
      String(
        format: "median %.2f; peak memory %d MiB after the first round, %d MiB after the last", result.ratio,
        result.firstPeakBytes >> 20, result.lastPeakBytes >> 20))
  }

  private func timed(_ body: () throws -> Void) rethrows -> Double {
    let start = DispatchTime.now().uptimeNanoseconds
    try body()
    return Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
  }

  /// Reads, decodes, encodes and writes each file, on every core.
  private func recode(_ items: [WorkList.Item], into folder: URL) throws {
    let errors = Mutex<[any Error]>([])
    forEachConcurrently(items.count) { index in
      do {
        let file = try items[index].picture()
        try writeAtomically(
          try file.encoded(as: file.type.copyType, quality: quality),
          to: folder.appendingPathComponent(items[index].name))
      } catch {
        errors.withLock { $0.append(error) }
      }
    }
    if let error = errors.withLock({ $0.first }) { throw error }
  }
}
