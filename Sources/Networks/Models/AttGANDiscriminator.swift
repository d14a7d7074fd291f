import Kernels

/// AttGAN's discriminator: strided 4x4 convolutions with instance norm and leaky ReLU, then a hidden layer each for the
/// realness (`fc_adv`) and the attributes (`fc_cls`).
package struct AttGANDiscriminator: AttributeCritic {
  package var parameters: [String: Tensor]
  package let width: Int, layers: Int, attributeCount: Int, imageSize: Int
  package let hiddenCount: Int?

  private static let widest = 1024

  /// Fresh parameters.
  /// - Throws: `KernelsError.shape` unless the image size is a multiple of 2^layers.
  package init(
    width: Int = 64, layers: Int = 5, hiddenCount: Int = 1024, attributeCount: Int, imageSize: Int, seed: UInt64,
    device: any Device
  ) throws {
    try self.init(
      ParameterSource(seed: seed, device: device), width: width, layers: layers, hiddenCount: hiddenCount,
      attributeCount: attributeCount, imageSize: imageSize)
  }

  /// Parameters from a checkpoint under official names.
  package init(_ state: StateDictionary) throws {
    let first = try state.require("conv.0.layers.0.weight", [nil, 3, 4, 4])
    let layers = (0..<20).prefix { state.tensors["conv.\($0).layers.0.weight"] != nil }.count
    let hidden = try state.require("fc_adv.0.layers.0.weight", [nil, nil])
    let logits = try state.require("fc_cls.1.layers.0.weight", [nil, hidden.shape[0]])
    let area = hidden.shape[1] / min(first.shape[0] << (layers - 1), Self.widest)
    try self.init(
      ParameterSource(state), width: first.shape[0], layers: layers, hiddenCount: hidden.shape[0],
      attributeCount: logits.shape[0], imageSize: Int(Double(area).squareRoot()) << layers)
  }

  private init(
    _ source: ParameterSource, width: Int, layers: Int, hiddenCount: Int, attributeCount: Int, imageSize: Int
  ) throws {
    (self.width, self.layers, self.hiddenCount) = (width, layers, hiddenCount)
    (self.attributeCount, self.imageSize) = (attributeCount, imageSize)
    try requireHalvings(layers, of: imageSize, "AttGAN's discriminator")
    var source = source
    var channels = 3
    for layer in 0..<layers {
      let next = min(width << layer, Self.widest)
      try source.layer("conv.\(layer).layers.0", [next, channels, 4, 4])
      try source.norm("conv.\(layer).layers.1", [next])
      channels = next
    }
    let count = channels * (imageSize >> layers) * (imageSize >> layers)
    for (head, outputs) in [("fc_adv", 1), ("fc_cls", attributeCount)] {
      try source.layer("\(head).0.layers.0", [hiddenCount, count], bias: hiddenCount)
      try source.layer("\(head).1.layers.0", [outputs, hiddenCount], bias: outputs)
    }
    parameters = try source.finished()
  }

  package func features(of images: Tensor) throws -> Tensor {
    try requireImages(images, size: imageSize, "AttGAN's discriminator")
    var x = images
    for layer in 0..<layers {
      let name = "conv.\(layer).layers"
      x = try x.convolved(with: parameters["\(name).0.weight"]!, stride: 2, padding: 1)
        .instanceNormalized(
          gamma: parameters["\(name).1.weight"]!, beta: parameters["\(name).1.bias"]!, activation: .leakyReLU(0.01))
    }
    return try x.reshaped([images.shape[0], -1])
  }

  package func realness(fromFeatures features: Tensor) throws -> Tensor { try head("fc_adv", features) }

  package func attributes(fromFeatures features: Tensor) throws -> Tensor { try head("fc_cls", features) }

  private func head(_ name: String, _ features: Tensor) throws -> Tensor {
    func linear(_ x: Tensor, _ layer: Int) throws -> Tensor {
      try x.linear(
        weight: parameters["\(name).\(layer).layers.0.weight"]!, bias: parameters["\(name).\(layer).layers.0.bias"]!)
    }
    return try linear(linear(features, 0).relu(), 1)
  }
}

@available(*, unavailable)
extension AttGANDiscriminator: Sendable {}
