import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

struct QualityCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quality",
    abstract: "How good a generator's edits of held-out faces are, without protection.",
    discussion: """
      For each edit: how often it shows what was asked for, by a classifier that was trained beside it, and how often the face showed it \
      before; the share of pixels that it changes; and LPIPS to the original outside of these (0: nothing else changes). For all: the \
      Frechet inception distance from other real faces. 95% intervals by the bootstrap over faces.
      """)

  @Argument(
    help: "A generator: \(generatorNames.joined(separator: ", ")) for weights/NAME.safetensors, a file, or NAME=FILE.")
  var model: String
  @Option(help: "A labelled folder of aligned faces (list_attr*.txt).") var data: String
  @Option(help: "Judge only the last this many faces of the data; 0 for all.") var holdOut = 480
  @Option(help: "At most this many faces; those behind them are what the distance is from.") var count = 100
  @Option(help: "The classifier's weights. (default: \(AttributeClassifier.shipped))") var classifier: String?
  @Option(help: "lpips, fid, or none, separated by commas: networks that tools/fetch-models gets.")
  var metrics = "lpips,fid"
  @Option(help: "The seed of edits that vary.") var seed: UInt64 = 1
  @Flag(help: "As JSON.") var json = false
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try require("--hold-out", holdOut, 0...10_000_000)
    try require("--count", count, 1...10_000_000)
    for name in names where name != MetricName.lpips.rawValue && name != MetricName.fid.rawValue {
      throw ValidationError("--metrics takes lpips, fid or none")
    }
  }

  private var names: [String] { items(of: metrics).filter { $0 != "none" } }

  func run() throws {
    StopSignal.listen()
    let device = try common.openDevice()
    let progress = common.progress
    let generator = try loadGenerator(model, on: device)
    let dataset = try loadFaces(data)
    let first = holdOut > 0 ? max(0, dataset.count - holdOut) : 0
    let middle = min(dataset.count, first + count)
    guard !names.contains(MetricName.fid.rawValue) || dataset.count - middle >= 2 else {
      throw ValidationError("--metrics fid needs faces behind the \(middle - first) that are judged: a lower --count")
    }
    try requireMemory(forFaces: dataset.count - first, size: generator.imageSize, batch: 1)
    let networks = try MetricNetworks(
      names.compactMap(MetricName.init), from: { models.weights(of: $0) }, on: device)
    let quality = try GeneratorQuality(
      of: generator, faces: JudgedPhotos.aligned(dataset[first..<middle], size: generator.imageSize).all(),
      others: names.contains(MetricName.fid.rawValue)
        ? JudgedPhotos.aligned(dataset[middle..<dataset.count], size: generator.imageSize).all() : [],
      classifier: loadClassifier(locate(classifier ?? AttributeClassifier.shipped), on: device), networks: networks,
      seed: seed, device: device
    ) { done, all in
      try StopSignal.exitIfPending()
      progress.update("\(done)/\(all) edits")
    }
    print(json ? try jsonText(quality) : text(of: quality))
    try common.reportProfile(of: device)
  }

  private func text(of quality: GeneratorQuality) -> String {
    func cell(_ estimate: Estimate?, _ digits: Int) -> String {
      estimate.map { String(format: "%.\(digits)f (%.\(digits)f-%.\(digits)f)", $0.mean, $0.low, $0.high) } ?? "-"
    }
    func row(_ name: String, _ cells: String...) -> String { "| \(([name] + cells).joined(separator: " | ")) |" }
    var lines = ["| edit | success | before | pixels changed | LPIPS outside |", "|---|---|---|---|---|"]
    lines += quality.edits.map {
      row($0.name, cell($0.success, 2), cell($0.before, 2), cell($0.changed, 2), cell($0.outside, 3))
    }
    lines.append(
      row(
        "all", cell(quality.success, 2), cell(quality.before, 2), cell(quality.changed, 2), cell(quality.outside, 3)))
    lines += ["", "\(quality.faces) faces"]
    if let fid = quality.fid, let faces = quality.fidOfFaces {
      lines[lines.count - 1] += String(
        format: "; Frechet inception distance from other real faces: edits %.1f, the faces themselves %.1f", fid, faces)
    }
    return lines.joined(separator: "\n")
  }
}
