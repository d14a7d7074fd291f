import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

struct BenchRefineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "refine",
    abstract: "Faces a second of refinement, as protect does it, against how many are refined together.",
    discussion: """
      The sizes of batches take turns. A face is any picture: its middle square at --size pixels a side. Each batch begins on a device \
      of its own, after a step that builds the kernels; what its memory peaks at is beside it.
      """)

  @Argument(help: "Images, or folders.") var inputs: [String]
  @Option(help: "Faces of a round; the inputs are taken again and again.") var count = 16
  @Option(help: "Rounds of each batch.") var rounds = 3
  @Option(help: "Gradient steps for each face.") var steps = 40
  @Option(help: "Faces that are refined together, separated by commas.") var batches = "1,2,4,8,16"
  @Option(help: "Pixels a side of a face.") var size = 256
  @Option(help: "Detectors that are refined against, separated by commas, or none.")
  var detectors = Protector.defaultDetectors.joined(separator: ",")
  @Flag(help: "As JSON.") var json = false
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try require("--count", count, 1...100_000)
    try require("--rounds", rounds, 1...10_000)
    try require("--steps", steps, 1...1_000_000)
    try require("--size", size, 64...4096)
    try items(of: detectors).forEach(requireDetector)
    guard !batches.isEmpty, !lengths.isEmpty, lengths.count == batches.split(separator: ",").count,
      lengths.allSatisfy((1...4096).contains)
    else { throw ValidationError("--batches takes whole numbers from 1 to 4096, separated by commas") }
  }

  private var lengths: [Int] { batches.split(separator: ",").compactMap { Int($0) } }

  private struct Result: Encodable {
    var batch: Int
    /// Faces a second of each round, and their median.
    var rounds: [Double] = [], facesPerSecond = 0.0
    var peakBytes = 0
  }

  func run() throws {
    let found = try openWork(inputs).items
    var results = lengths.map { Result(batch: $0) }
    for round in 0..<rounds {
      for (index, batch) in lengths.enumerated() {
        let device = try common.openDevice()
        let pictures = try (0..<count).map { number -> Image in
          try squareImage(found[number % found.count].picture().image, size: size, device: device)
        }
        _ = try protector(steps: 1, batch: batch, on: device).protect(Array(pictures.prefix(batch)))
        let protector = try protector(steps: steps, batch: batch, on: device)
        let start = DispatchTime.now().uptimeNanoseconds
        for first in stride(from: 0, to: count, by: batch) {
          _ = try protector.protect(Array(pictures[first..<min(first + batch, count)]))
        }
        let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
        results[index].rounds.append(Double(count) / seconds)
        results[index].peakBytes = device.memory.peak
        try common.reportProfile(of: device)
        common.progress.note(
          "round \(round + 1), \(batch) together: \(String(format: "%.3f", Double(count) / seconds))")
      }
    }
    for index in results.indices {
      let sorted = results[index].rounds.sorted()
      results[index].facesPerSecond = (sorted[(rounds - 1) / 2] + sorted[rounds / 2]) / 2
    }
    if json { return print(try jsonText(results)) }
    for result in results {
      print(
        String(
          format: "%d together: %.3f faces a second, %d MiB of device memory at most", result.batch,
          result.facesPerSecond, result.peakBytes >> 20))
    }
  }

  private func protector(steps: Int, batch: Int, on device: any Device) throws -> Protector {
    var settings = ProtectionSettings()
    (settings.region, settings.refineSteps) = (.image, steps)
    settings.smoothShare = ProtectionLevel.standard.smoothShare
    let refiner = try Refiner(
      generators: generatorOptions.load(default: Protector.defaultGenerators, on: device).map(\.generator),
      detectors: models.loadDetectors(detectors, on: device).map(\.detector),
      classifier: loadClassifier(locate(AttributeClassifier.shipped), on: device),
      denoiser: locate(Denoiser.adversarial), batch: batch, device: device)
    return try Protector(
      perturbation: Tensor(repeating: 0, shape: [1, 3, size, size], device: device), settings: settings, detectors: [],
      refiner: refiner, device: device)
  }
}
