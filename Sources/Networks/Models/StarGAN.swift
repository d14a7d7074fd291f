import Kernels

/// Which statistics instance norms use. The authors' checkpoints store running ones, but their code never leaves
/// training mode, so what people get is each image's own.
public enum NormStatistics: String, CaseIterable, Sendable {
  /// Each image's own.
  case instance
  /// Those that the checkpoint stores.
  case running
}

/// The network that StarGAN and AttentionGAN share: a 7x7 convolution, two strided ones down, residual blocks, two
/// transposed ones up, 7x7; instance norm and ReLU between. The condition joins the image as constant planes. Parameters
/// carry the official names (`main.N...`).
package struct StarGANBackbone {
  var parameters: [String: Tensor]
  let conditionCount: Int
  /// Channels of the first layer.
  package let width: Int
  /// Residual blocks.
  package let blocks: Int
  private let statistics: NormStatistics

  /// The position after the residual blocks.
  private var up: Int { 9 + blocks }

  init(
    _ source: ParameterSource, width: Int, conditionCount: Int, blocks: Int, outputs: Int, statistics: NormStatistics
  ) throws {
    (self.conditionCount, self.width, self.blocks, self.statistics) = (conditionCount, width, blocks, statistics)
    parameters = [:]
    var source = source
    func add(_ name: String, _ weight: Shape, norm: String, channels: Int) throws {
      try source.layer(name, weight)
      try source.norm(norm, [channels])
      try source.runningStatistics(norm, channels, required: statistics == .running)
    }
    let w = width
    try add("main.0", [w, 3 + conditionCount, 7, 7], norm: "main.1", channels: w)
    try add("main.3", [2 * w, w, 4, 4], norm: "main.4", channels: 2 * w)
    try add("main.6", [4 * w, 2 * w, 4, 4], norm: "main.7", channels: 4 * w)
    for block in 0..<blocks {
      let base = "main.\(9 + block).main"
      try add("\(base).0", [4 * w, 4 * w, 3, 3], norm: "\(base).1", channels: 4 * w)
      try add("\(base).3", [4 * w, 4 * w, 3, 3], norm: "\(base).4", channels: 4 * w)
    }
    try add("main.\(up)", [4 * w, 2 * w, 4, 4], norm: "main.\(up + 1)", channels: 2 * w)
    try add("main.\(up + 3)", [2 * w, w, 4, 4], norm: "main.\(up + 4)", channels: w)
    try source.layer("main.\(up + 6)", [outputs, w, 7, 7])
    parameters = try source.finished()
  }

  /// From a checkpoint, whose shapes tell widths and depth.
  init(_ state: StateDictionary, outputs: Int, statistics: NormStatistics) throws {
    let first = try state.require("main.0.weight", [nil, nil, 7, 7])
    let blocks = (0..<100).prefix { state.tensors["main.\(9 + $0).main.0.weight"] != nil }.count
    try self.init(
      ParameterSource(state), width: first.shape[0], conditionCount: first.shape[1] - 3, blocks: blocks,
      outputs: outputs, statistics: statistics)
  }

  /// The last convolution's output, and the feature after the residual blocks.
  func callAsFunction(_ images: Tensor, condition: Tensor) throws -> (output: Tensor, feature: Tensor) {
    var x = try Autograd.segment {
      var x = try images.convolved(with: weight("main.0"), joining: condition)
      x = try normalized(x, "main.1", activation: .relu)
      for position in [3, 6] {
        x = try x.convolved(with: weight("main.\(position)"), stride: 2, padding: 1)
        x = try normalized(x, "main.\(position + 1)", activation: .relu)
      }
      return x
    }
    for block in 0..<blocks {
      let base = "main.\(9 + block).main"
      x = try Autograd.segment { [x] in
        let inner = try normalized(x.convolved(with: weight("\(base).0"), padding: 1), "\(base).1", activation: .relu)
        return try normalized(
          inner.convolved(with: weight("\(base).3"), padding: 1), "\(base).4", activation: .identity, adding: x)
      }
    }
    let feature = x
    let output = try Autograd.segment {
      var x = feature
      for position in [up, up + 3] {
        x = try x.transposeConvolved(with: weight("main.\(position)"), stride: 2, padding: 1)
        x = try normalized(x, "main.\(position + 1)", activation: .relu)
      }
      return try x.convolved(with: weight("main.\(up + 6)"), padding: 3)
    }
    return (output, feature)
  }

  private func weight(_ name: String) -> Tensor { parameters["\(name).weight"]! }

  private func normalized(_ x: Tensor, _ name: String, activation: Activation, adding residual: Tensor? = nil) throws
    -> Tensor
  {
    let (gamma, beta) = (parameters["\(name).weight"]!, parameters["\(name).bias"]!)
    switch statistics {
    case .instance: return try x.instanceNormalized(gamma: gamma, beta: beta, activation: activation, adding: residual)
    case .running:
      let y = try x.normalized(
        mean: parameters["\(name).running_mean"]!, variance: parameters["\(name).running_var"]!, gamma: gamma,
        beta: beta)
      let rectified = try y.activated(by: activation)
      return try residual.map { try rectified + $0 } ?? rectified
    }
  }
}

@available(*, unavailable)
extension StarGANBackbone: Sendable {}

/// A generator on StarGAN's network: what makes an image of its output is all that differs.
package protocol StarGANFamily: Generator {
  var backbone: StarGANBackbone { get set }
  /// Channels of the last convolution.
  static var outputs: Int { get }
  init(backbone: StarGANBackbone, attributes: [String], imageSize: Int)
  /// The edited image of the last convolution's output [N, outputs, H, W].
  func image(_ output: Tensor, of images: Tensor) throws -> Tensor
}

extension StarGANFamily {
  package static var checkpointKeys: [String] { ["G"] }

  package var parameters: [String: Tensor] {
    get { backbone.parameters }
    set { backbone.parameters = newValue }
  }

  /// Fresh parameters.
  package init(
    width: Int = 64, blocks: Int = 6, attributes: [String], imageSize: Int, seed: UInt64, device: any Device
  ) throws {
    let backbone = try StarGANBackbone(
      ParameterSource(seed: seed, device: device), width: width, conditionCount: attributes.count, blocks: blocks,
      outputs: Self.outputs, statistics: .instance)
    self.init(backbone: backbone, attributes: attributes, imageSize: imageSize)
  }

  package init(_ state: StateDictionary, _ description: GeneratorDescription) throws {
    let backbone = try StarGANBackbone(state, outputs: Self.outputs, statistics: description.statistics)
    self.init(
      backbone: backbone, attributes: try description.attributes(backbone.conditionCount, state.origin),
      imageSize: description.imageSize ?? 128)
  }

  package func callAsFunction(_ images: Tensor, condition: Condition) throws -> GeneratorOutput {
    try require(images, sidesOfMultiple: 4)
    try require(condition, attributes.count, for: images)
    let (output, feature) = try backbone(images, condition: condition.values)
    return GeneratorOutput(image: try image(output, of: images), feature: feature)
  }
}

/// StarGAN's generator (Choi et al., CVPR 2018): tanh of the network's three channels.
package struct StarGANGenerator: StarGANFamily {
  package static let name = "stargan"
  package static let outputs = 3

  package var backbone: StarGANBackbone
  package let attributes: [String]
  package let imageSize: Int

  package init(backbone: StarGANBackbone, attributes: [String], imageSize: Int) {
    (self.backbone, self.attributes, self.imageSize) = (backbone, attributes, imageSize)
  }

  package func image(_ output: Tensor, of images: Tensor) throws -> Tensor { try output.tanh() }
}

@available(*, unavailable)
extension StarGANGenerator: Sendable {}
