import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage
import TSDF

struct DetectCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "detect", abstract: "Find faces: boxes, scores and landmarks as JSON on stdout.")

  @Argument(help: "Images, or folders of images.") var inputs: [String]
  @Option(help: "\(finderNames.joined(separator: " or ")).") var detector = RetinaFace.name
  @Option(help: "The lowest score reported.") var threshold = defaultDetectionThreshold
  @Option(
    help: """
      Pictures with a longer side are shrunk to this first, as many programs do. (default: none; faces are looked for at full \
      size, in tiles, and at coarser sizes; time goes with the pixels)
      """) var longestSide: Int?
  @Option(help: "Also write copies with the boxes drawn, as PNG, to this folder.") var annotate: String?
  @OptionGroup var purifier: PurifierOption
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try require("--longest-side", longestSide, 16...65536)
    try require("--threshold", threshold, 0...1)
  }

  func run() throws {
    let device = try common.openDevice()
    let detector = try models.loadFinder(detector, on: device)
    let attack = try purifier.load(on: device)
    let progress = common.progress
    let annotated = try annotate.map { try resultFolder($0) }
    let work = try openWork(inputs, leavingOut: annotate.map { FilePath(argument: $0) })
    var failures = work.problems
    var entries: [PhotoDetections] = []
    for (index, item) in work.items.enumerated() {
      do {
        let file = try item.picture()
        var random = RandomStream(seed: 1)
        let upright = file.image.upright(from: file.orientation)
        let image = try attack?(upright, random: &random, on: device) ?? upright
        let faces = try detector.detectAll(in: image, threshold: threshold, longestSide: longestSide, on: device) {
          try attack?($0, at: .network, random: &random) ?? $0
        }
        entries.append(
          PhotoDetections(file: item.path.text, width: image.width, height: image.height, faces: faces))
        try annotated?.write(
          encodePNG(image.drawing(faces.map(\.box))), to: item.relativePath.appending(text: ".png"))
      } catch {
        failures.append(error)
        printError("\(error)")
      }
      progress.update("\(index + 1)/\(work.items.count) images", isLast: index + 1 == work.items.count)
    }
    print(try jsonText(entries))
    try common.reportProfile(of: device)
    if !failures.isEmpty { throw ExitCode(1) }
  }
}
