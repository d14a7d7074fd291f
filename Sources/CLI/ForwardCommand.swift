import ArgumentParser
import Foundation
import Kernels
import Networks
import TSDF

extension NormStatistics: ExpressibleByArgument {}

struct ForwardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "forward", abstract: "Raw tensors in and out of a model, for parity checks.",
    discussion: """
      Reads x (NCHW float32, RGB in [-1, 1]) and, for generators, c ([N, attributes], fed as is) or, for hisd, reference \
      ([N, 3, H, W], whose style for --tag is taken). Writes y and feature (generators) or conf, loc and feature1...3 \
      (detectors; logits, background first). MTCNN's nets write conf and loc as they lay them out.

      With --critic it makes one training step of the critic and one of the generator, each against the other as it is, with \
      the losses, weights and rates of the model's authors. It reads x_real, c_org and c_trg ([N, attributes]) and alpha \
      ([N, 1, 1, 1]), or for hisd x_real, others, noise, from and to; it writes the losses (d.real, d.fake, d.cls, d.gp, d.total, \
      g.adv, g.cls, g.rec, g.total; hisd also g.sty), the gradients (D.grad.NAME, G.grad.NAME) and the critic after its \
      step (D.after.NAME).
      """)

  private static let cascadeNames = MTCNN.netNames.map { "\(MTCNN.name)-\($0)" }
  private static let names =
    generatorNames + detectorNames.filter { $0 != MTCNN.name } + cascadeNames

  @Argument(help: "\(names.joined(separator: ", ")).") var model: String
  @Option(help: "The model's weights (.safetensors, .pth, .ckpt, .pt).") var weights: String
  @Option(help: "Generators: the discriminator's weights; then a training step is made.") var critic: String?
  @Option(help: "A safetensors file with x, and c or reference where the model is conditioned.") var input: String
  @Option(help: "Where the outputs go (.safetensors).") var output: String
  @Flag(help: "Also write x.grad, the gradient of mean(first output squared) with respect to x.") var gradient = false
  @Option(help: "Statistics of StarGAN's and AttentionGAN's norms: each image's own, or the stored running ones.")
  var normStatistics = NormStatistics.instance
  @Option(help: "HiSD: the tag whose style is changed, from 0.") var tag = 0
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try require("--tag", tag, 0...largestCount)
    if !Self.names.contains(model) {
      throw ValidationError("there is no model \(model); there are \(Self.names.joined(separator: ", "))")
    }
    if critic != nil, !generatorNames.contains(model) || gradient || normStatistics != .instance {
      throw ValidationError("--critic is for generators, without --gradient and --norm-statistics")
    }
  }

  func run() throws {
    let device = try common.openDevice()
    let source = try Safetensors(contentsOf: URL(fileURLWithPath: input))
    let url = URL(fileURLWithPath: weights)
    if let critic {
      let files = TrainingStart.Files(generator: url, critic: URL(fileURLWithPath: critic))
      let start = try TrainingStart(files, named: model, on: device)
      return try write(
        examineTrainingStep(of: start, input: { try source.tensor($0, on: device) }, tag: tag, on: device))
    }
    var x = try source.tensor("x", on: device)
    if gradient { x = x.requiringGradient() }
    var results: [String: Tensor] = [:]
    let first: Tensor
    if generatorNames.contains(model) {
      let generator = try Networks.loadGenerator(url, named: model, statistics: normStatistics, on: device)
      let condition = try generator.condition(from: { try source.tensor($0, on: device) }, tag: tag)
      let made = try generator(x, condition: condition)
      results = ["y": made.image, "feature": made.feature]
      first = made.image
    } else if Self.cascadeNames.contains(model) {
      let net = String(model.dropFirst(MTCNN.name.count + 1))
      let state = try StateDictionary.read(url, on: device).state
      let made = try MTCNN(net: net, state).forward(net, x)
      results = ["conf": made.logits, "loc": made.offsets]
      first = made.logits
    } else {
      let heads = try Networks.loadDetector(model, weights: url, on: device).heads(x)
      results = ["conf": heads.confidence, "loc": heads.location]
      for (level, feature) in heads.features.enumerated() { results["feature\(level + 1)"] = feature }
      first = heads.confidence
    }
    if gradient { results["x.grad"] = try gradients(of: first.squared().mean(), withRespectTo: [x])[0] }
    try write(results)
  }

  private func write(_ results: [String: Tensor]) throws {
    try Safetensors.write(results, metadata: ["model": model, "tsdf": tsdfVersion], to: URL(fileURLWithPath: output))
  }
}
