import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage
import TSDF

struct EditCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "edit", abstract: "What an attacker would get: run a generator on faces.")

  @Argument(
    help: "A generator: \(generatorNames.joined(separator: ", ")) for weights/NAME.safetensors, a file, or NAME=FILE.")
  var model: String
  @Argument(help: "Images, or folders of images.") var inputs: [String]
  @Option(name: .shortAndLong, help: "The folder for the edits: INPUT.EDIT.png.") var output: String
  @Option(help: "The edits, separated by commas. (default: each in turn)") var edits: String?
  @Option(help: "What the faces are now, as NAME=0 or NAME=1 separated by commas; the rest counts as 0.")
  var labels: String?
  @Option(help: "faces: each face's square; image: the largest centred square.") var region = ProtectedRegion.image
  @Option(help: "The detector that finds the faces.") var detector = RetinaFace.name
  @Option(help: "The seed of edits that vary.") var seed: UInt64 = 1
  @OptionGroup var purifier: PurifierOption
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  func run() throws {
    let device = try common.openDevice()
    let generator = try loadGenerator(model, on: device)
    func position(_ name: String, in names: [String]) throws -> Int {
      guard let index = names.firstIndex(of: name) else {
        throw ValidationError("the generator has no \(name); it has \(names.joined(separator: ", "))")
      }
      return index
    }
    let chosen =
      try edits.map { try $0.split(separator: ",").map { try position(String($0), in: generator.edits) } }
      ?? Array(generator.edits.indices)
    var known = [Float](repeating: 0, count: generator.attributes.count)
    for part in labels?.split(separator: ",") ?? [] {
      let fields = part.split(separator: "=")
      guard fields.count == 2, let value = Float(fields[1]), value == 0 || value == 1 else {
        throw ValidationError("--labels takes NAME=0 or NAME=1")
      }
      known[try position(String(fields[0]), in: generator.attributes)] = value
    }
    let finder = region == .faces ? try models.loadFinder(detector, on: device) : nil
    let attack = try purifier.load(on: device)
    let results = try resultFolder(output)
    let work = try openWork(inputs, leavingOut: FilePath(argument: output))
    var failed = !work.problems.isEmpty
    for item in work.items {
      do {
        let file = try item.picture()
        var random = RandomStream(seed: seed)
        let upright = file.image.upright(from: file.orientation)
        let image = try attack?(upright, random: &random, on: device) ?? upright
        let parts =
          try finder.map { try $0.faceSquares(in: image, margin: 1.3, on: device).map(image.cropped(to:)) } ?? [image]
        if parts.isEmpty { throw FileError(item.path, "no face found") }
        for (number, part) in parts.enumerated() {
          let square = try squareImage(part, size: generator.imageSize, device: device).tensor(on: device)
          let input = try attack?(square, at: .network, random: &random) ?? square
          // The same styles for each face.
          random = RandomStream(seed: seed)
          for edit in chosen {
            let condition = try generator.condition([edit], labels: [known], random: &random, device: device)
            let edited = try generator(input, condition: condition)
            let name = generator.edits[edit].replacingOccurrences(of: " ", with: "-")
            let suffix = (parts.count > 1 ? ".\(number + 1)" : "") + ".\(name).png"
            let place = try results.write(
              encodePNG(Image.images(from: edited.image)[0]), to: item.relativePath.appending(text: suffix))
            print(place.text)
          }
        }
      } catch {
        failed = true
        printError("\(error)")
      }
    }
    try common.reportProfile(of: device)
    if failed { throw ExitCode(1) }
  }
}
