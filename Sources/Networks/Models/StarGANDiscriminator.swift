import Kernels

/// What judges realness and attributes of images.
package protocol AttributeCritic: Network {
  /// Channels of the first layer.
  var width: Int { get }
  /// Strided layers.
  var layers: Int { get }
  /// Units of hidden layers; nil where there are none.
  var hiddenCount: Int? { get }
  var attributeCount: Int { get }
  /// Pixels a side of what it judges.
  var imageSize: Int { get }

  /// What both answers are made from, of images [N, 3, size, size].
  func features(of images: Tensor) throws -> Tensor
  /// Scores, of any shape with images first.
  func realness(fromFeatures features: Tensor) throws -> Tensor
  /// Logits [N, attributes].
  func attributes(fromFeatures features: Tensor) throws -> Tensor
}

extension AttributeCritic {
  /// Both answers on images [N, 3, size, size].
  package func callAsFunction(_ images: Tensor) throws -> (realness: Tensor, attributes: Tensor) {
    let features = try features(of: images)
    return (try realness(fromFeatures: features), try attributes(fromFeatures: features))
  }

  /// The scores alone of images [N, 3, size, size].
  package func realness(of images: Tensor) throws -> Tensor { try realness(fromFeatures: features(of: images)) }
}

/// StarGAN's discriminator, and AttentionGAN's: strided 4x4 convolutions with leaky ReLU, then a patch of realness scores
/// (`conv1`) and attribute logits (`conv2`).
package struct StarGANDiscriminator: AttributeCritic {
  package var parameters: [String: Tensor]
  package let width: Int, layers: Int, attributeCount: Int, imageSize: Int
  package let hiddenCount: Int? = nil

  /// Fresh parameters.
  /// - Throws: `KernelsError.shape` unless the image size is a multiple of 2^layers.
  package init(width: Int = 64, layers: Int = 6, attributeCount: Int, imageSize: Int, seed: UInt64, device: any Device)
    throws
  {
    try self.init(
      ParameterSource(seed: seed, device: device), width: width, layers: layers, attributeCount: attributeCount,
      imageSize: imageSize)
  }

  /// Parameters from a checkpoint under official names.
  package init(_ state: StateDictionary) throws {
    let first = try state.require("main.0.weight", [nil, 3, 4, 4])
    let layers = (0..<20).prefix { state.tensors["main.\(2 * $0).weight"] != nil }.count
    let head = try state.require("conv2.weight", [nil, nil, nil, nil])
    try self.init(
      ParameterSource(state), width: first.shape[0], layers: layers, attributeCount: head.shape[0],
      imageSize: head.shape[2] << layers)
  }

  private init(_ source: ParameterSource, width: Int, layers: Int, attributeCount: Int, imageSize: Int) throws {
    (self.width, self.layers, self.attributeCount, self.imageSize) = (width, layers, attributeCount, imageSize)
    try requireHalvings(layers, of: imageSize, "StarGAN's discriminator")
    var source = source
    var channels = 3
    for layer in 0..<layers {
      try source.layer("main.\(2 * layer)", [width << layer, channels, 4, 4], bias: width << layer)
      channels = width << layer
    }
    let side = imageSize >> layers
    try source.layer("conv1", [1, channels, 3, 3])
    try source.layer("conv2", [attributeCount, channels, side, side])
    parameters = try source.finished()
  }

  package func features(of images: Tensor) throws -> Tensor {
    try requireImages(images, size: imageSize, "StarGAN's discriminator")
    var x = images
    for layer in 0..<layers {
      x = try x.convolved(
        with: parameters["main.\(2 * layer).weight"]!, bias: parameters["main.\(2 * layer).bias"]!, stride: 2,
        padding: 1, activation: .leakyReLU(0.01))
    }
    return x
  }

  package func realness(fromFeatures features: Tensor) throws -> Tensor {
    try features.convolved(with: parameters["conv1.weight"]!, padding: 1)
  }

  package func attributes(fromFeatures features: Tensor) throws -> Tensor {
    try features.convolved(with: parameters["conv2.weight"]!).reshaped([features.shape[0], attributeCount])
  }
}

@available(*, unavailable)
extension StarGANDiscriminator: Sendable {}

/// Refuses sizes that cannot be halved so often.
package func requireHalvings(_ count: Int, of size: Int, _ network: String) throws {
  guard (0..<32).contains(count), size % (1 << count) == 0, size >> count > 0 else {
    throw KernelsError.shape(operation: network, "images of \(size) cannot be halved \(count) times")
  }
}

/// Refuses images of another size.
func requireImages(_ images: Tensor, size: Int, _ network: String) throws {
  guard images.rank == 4, Array(images.shape.dropFirst()) == [3, size, size] else {
    throw KernelsError.shape(operation: network, "takes images of \(size), not \(images.shape)")
  }
}
