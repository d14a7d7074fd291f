import ArgumentParser
import Foundation
import Kernels
import Networks

struct ConvertCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "convert", abstract: "A PyTorch checkpoint (.pth, .ckpt, .pt) to safetensors.",
    discussion: "Only tensors and containers are read; a file that asks for code is refused.")

  @Argument(help: "The checkpoint, in PyTorch's zip or legacy format.") var checkpoint: String
  @Option(name: .shortAndLong, help: "Where the tensors go (.safetensors).") var output: String
  @Option(help: "Only what lies under this key of the checkpoint, for example G or state_dict.") var key: String?
  @Option(
    parsing: .upToNextOption,
    help: "Metadata to store, as NAME=VALUE, for example attributes=Male,Young image_size=256.")
  var metadata: [String] = []

  func run() throws {
    var fields: [String: String] = [:]
    for item in metadata {
      guard let split = item.firstIndex(of: "=") else { throw ValidationError("--metadata takes NAME=VALUE") }
      fields[String(item[..<split])] = String(item[item.index(after: split)...])
    }
    let url = URL(fileURLWithPath: checkpoint)
    let tensors = try TorchCheckpoint(contentsOf: url).tensors(under: key, on: CPUDevice())
    fields["source"] = url.lastPathComponent
    fields["source_sha256"] = sha256(try Data(contentsOf: url, options: .alwaysMapped)).hexadecimal
    try Safetensors.write(tensors, metadata: fields, to: URL(fileURLWithPath: output))
    print("\(output): \(tensors.count) tensors")
  }
}
