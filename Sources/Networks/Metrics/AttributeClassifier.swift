import Foundation
import Kernels

/// A classifier of `tsdf train classifier`.
/// - Throws: `FileError` when the file is none.
public func loadClassifier(_ url: URL, on device: any Device) throws -> AttributeClassifier {
  let (state, metadata) = try StateDictionary.read(url, on: device)
  return try AttributeClassifier(state, metadata: metadata)
}

/// Says which attributes a face shows: the judge of edits, trained apart from all generators. A strided convolution, then residual
/// blocks (He et al., ECCV 2016, norms first) that halve the picture, instance norm and leaky ReLU between; the mean over the
/// pixels; a logit an attribute.
public struct AttributeClassifier: Network {
  package static let name = "classifier"
  /// Where the shipped weights are, from the top of the project.
  package static let shipped = "weights/classifier.safetensors"

  public var parameters: [String: Tensor]
  /// The names of the attributes, in the order of the logits.
  public let attributes: [String]
  /// Pixels a side that images are brought to.
  public let imageSize: Int
  private let blocks: Int

  private static var activation: Activation { .leakyReLU(0.1) }

  /// Fresh parameters.
  /// - Parameters:
  ///   - width: channels of the first layer; each block doubles them.
  ///   - blocks: each halves the picture.
  /// - Throws: `KernelsError.shape` unless the image size is a multiple of 2^(blocks + 1).
  package init(
    width: Int = 24, blocks: Int = 3, attributes: [String], imageSize: Int, seed: UInt64, device: any Device
  ) throws {
    try self.init(
      ParameterSource(seed: seed, device: device, .kaiming), width: width, blocks: blocks, attributes: attributes,
      imageSize: imageSize)
  }

  /// From a file of `tsdf train classifier`.
  /// - Throws: `FileError` naming a tensor that is missing, of the wrong shape or too many.
  public init(_ state: StateDictionary, metadata: [String: String]) throws {
    let description = try GeneratorDescription(metadata, origin: state.origin)
    guard metadata["kind"] == Self.name, let names = description.attributes, let size = description.imageSize else {
      throw FileError(state.origin, "is no classifier of tsdf train classifier")
    }
    let stem = try state.require("stem.weight", [nil, 3, 4, 4])
    let blocks = (0..<12).prefix { state.tensors["blocks.\($0).conv1.weight"] != nil }.count
    try self.init(
      ParameterSource(state), width: stem.shape[0], blocks: blocks, attributes: names, imageSize: size)
  }

  private init(_ source: ParameterSource, width: Int, blocks: Int, attributes: [String], imageSize: Int) throws {
    (self.blocks, self.attributes, self.imageSize) = (blocks, attributes, imageSize)
    try requireHalvings(blocks + 1, of: imageSize, "the classifier")
    var source = source
    try source.layer("stem", [width, 3, 4, 4], bias: width, rectified: false)
    var channels = width
    for block in 0..<blocks {
      let name = "blocks.\(block)"
      try source.norm("\(name).norm1", [channels])
      try source.layer("\(name).conv1", [2 * channels, channels, 3, 3])
      try source.norm("\(name).norm2", [2 * channels])
      try source.layer("\(name).conv2", [2 * channels, 2 * channels, 3, 3])
      try source.layer("\(name).shortcut", [2 * channels, channels, 1, 1], rectified: false)
      channels *= 2
    }
    try source.norm("norm", [channels])
    try source.layer("head", [attributes.count, channels], bias: attributes.count)
    parameters = try source.finished()
  }

  /// What a file says of it besides its parameters.
  package var metadata: [String: String] {
    ["kind": Self.name, "attributes": attributes.joined(separator: ","), "image_size": "\(imageSize)"]
  }

  /// Logits [N, attributes] of faces [N, 3, H, W] in [-1, 1].
  public func callAsFunction(_ faces: Tensor) throws -> Tensor {
    var x = try faces.resized(
      height: imageSize, width: imageSize, mode: faces.shape[2] > imageSize ? .area : .bilinear)
    x = try x.convolved(with: weight("stem"), bias: parameters["stem.bias"]!, stride: 2, padding: 1)
    for block in 0..<blocks {
      let name = "blocks.\(block)"
      let inner = try normalized(x, "\(name).norm1").convolved(with: weight("\(name).conv1"), padding: 1)
      let outer = try normalized(inner, "\(name).norm2").convolved(with: weight("\(name).conv2"), padding: 1)
      x = try (outer + x.convolved(with: weight("\(name).shortcut"))).averagePooled(size: 2)
    }
    x = try normalized(x, "norm").mean(axes: [2, 3])
    return try x.linear(weight: weight("head"), bias: parameters["head.bias"]!)
  }

  /// What one face [1, 3, H, W] in [-1, 1] shows: a label an attribute, 0 or 1.
  public func labels(of face: Tensor) throws -> [Float] {
    try Networks.labels(logits: Autograd.withoutRecording { try self(face.detached()).values() }, of: attributes)
  }

  private func weight(_ name: String) -> Tensor { parameters["\(name).weight"]! }

  private func normalized(_ x: Tensor, _ name: String) throws -> Tensor {
    try x.instanceNormalized(gamma: weight(name), beta: parameters["\(name).bias"]!, activation: Self.activation)
  }
}

@available(*, unavailable)
extension AttributeClassifier: Sendable {}
