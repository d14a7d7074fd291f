import ArgumentParser
import Foundation
import Kernels
import TSDF

extension NormStatistics: ExpressibleByArgument {}

struct ForwardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forward", abstract: "Raw tensors in and out of a model, for parity checks.",
    discussion: """
      Reads x (NCHW float32, RGB in [-1, 1]) and, for generators, c ([N, attributes], fed as is). Writes y and feature \
      (generators) or conf, loc and feature1...3 (detectors; logits, background first). MTCNN's nets write conf and loc \
      as they lay them out.
      """)

  enum Model: String, ExpressibleByArgument, CaseIterable {
    case stargan, retinaface
    case pnet = "mtcnn-pnet"
    case rnet = "mtcnn-rnet"
    case onet = "mtcnn-onet"
  }

  @Argument(help: "\(Model.allCases.map(\.rawValue).joined(separator: ", ")).") var model: Model
  @Option(help: "The model's weights (.safetensors).") var weights: String
  @Option(help: "A safetensors file with x, and c where the model is conditioned.") var input: String
  @Option(help: "Where the outputs go (.safetensors).") var output: String
  @Flag(help: "Also write x.grad, the gradient of mean(first output squared) with respect to x.") var gradient = false
  @Option(help: "Statistics of StarGAN's norms: each image's own, or the stored running ones.")
  var normStatistics = NormStatistics.instance
  @OptionGroup var common: CommonOptions

  func run() throws {
    let device = try common.openDevice()
    let source = try Safetensors(contentsOf: URL(fileURLWithPath: input))
    let weightsURL = URL(fileURLWithPath: weights)
    let state = StateDictionary(try Safetensors(contentsOf: weightsURL).tensors(on: device), origin: weights)
    var x = try source.tensor("x", on: device)
    if gradient { x = x.requiringGradient() }
    var results: [String: Tensor] = [:]
    let first: Tensor
    switch model {
    case .stargan:
      let generator = try StarGANGenerator(state, statistics: normStatistics)
      let made = try generator(x, condition: source.tensor("c", on: device))
      results = ["y": made.image, "feature": made.feature]
      first = made.image
    case .retinaface:
      let heads = try RetinaFace(state).heads(x)
      results = ["conf": heads.confidence, "loc": heads.location]
      for (level, feature) in heads.features.enumerated() { results["feature\(level + 1)"] = feature }
      first = heads.confidence
    case .pnet, .rnet, .onet:
      let net = String(model.rawValue.dropFirst("mtcnn-".count))
      let made = try MTCNN(net: net, state).forward(net, x)
      results = ["conf": made.logits, "loc": made.offsets]
      first = made.logits
    }
    if gradient { results["x.grad"] = try gradients(of: first.squared().mean(), withRespectTo: [x])[0] }
    try Safetensors.write(
      results, metadata: ["model": model.rawValue, "tsdf": tsdfVersion], to: URL(fileURLWithPath: output))
  }
}
