import Foundation
import Kernels

/// Which statistics instance norms use. The authors' checkpoints store running ones, but their code never leaves
/// training mode, so what people get is each image's own.
public enum NormStatistics: String, CaseIterable, Sendable { case instance, running }

/// StarGAN's generator (Choi et al., CVPR 2018): a 7x7 convolution, two strided ones down, residual blocks, two
/// transposed ones up, 7x7 and tanh; instance norm and ReLU between. The condition joins the image as constant planes.
/// Parameters carry the official names (`main.N...`).
public final class StarGANGenerator: Generator {
  public static let name = "stargan"

  /// Widths and depth, read off a checkpoint's shapes or chosen.
  public struct Configuration: Equatable, Sendable {
    public var width = 64
    public var attributeCount = 5
    public var blocks = 6

    public init(width: Int = 64, attributeCount: Int = 5, blocks: Int = 6) {
      (self.width, self.attributeCount, self.blocks) = (width, attributeCount, blocks)
    }
  }

  public let configuration: Configuration
  public let attributes: [String]
  public let imageSize: Int
  public let statistics: NormStatistics
  /// The parameters by official name.
  public private(set) var parameters: [String: Tensor]

  /// The convolutions and norms by position in `main`, with their shapes.
  private struct Position {
    var name: String
    var weight: Shape
    var norm: String?
  }

  private static func positions(_ c: Configuration) -> [Position] {
    let w = c.width
    var all = [Position(name: "main.0", weight: [w, 3 + c.attributeCount, 7, 7], norm: "main.1")]
    all.append(Position(name: "main.3", weight: [2 * w, w, 4, 4], norm: "main.4"))
    all.append(Position(name: "main.6", weight: [4 * w, 2 * w, 4, 4], norm: "main.7"))
    for block in 0..<c.blocks {
      let base = "main.\(9 + block).main"
      all.append(Position(name: "\(base).0", weight: [4 * w, 4 * w, 3, 3], norm: "\(base).1"))
      all.append(Position(name: "\(base).3", weight: [4 * w, 4 * w, 3, 3], norm: "\(base).4"))
    }
    let up = 9 + c.blocks
    all.append(Position(name: "main.\(up)", weight: [4 * w, 2 * w, 4, 4], norm: "main.\(up + 1)"))
    all.append(Position(name: "main.\(up + 3)", weight: [2 * w, w, 4, 4], norm: "main.\(up + 4)"))
    all.append(Position(name: "main.\(up + 6)", weight: [3, w, 7, 7], norm: nil))
    return all
  }

  /// The channels that the norm after a position works on.
  private static func normChannels(_ position: Position, _ c: Configuration) -> Int {
    let isTransposed = position.name == "main.\(9 + c.blocks)" || position.name == "main.\(12 + c.blocks)"
    return isTransposed ? position.weight[1] : position.weight[0]
  }

  /// Fresh parameters.
  public init(_ configuration: Configuration, attributes: [String], imageSize: Int, seed: UInt64, device: any Device)
    throws
  {
    (self.configuration, self.attributes, self.imageSize) = (configuration, attributes, imageSize)
    statistics = .instance
    parameters = [:]
    var initializer = Initializer(seed: seed, device: device)
    for position in Self.positions(configuration) {
      parameters["\(position.name).weight"] = try initializer.weight(position.weight)
      guard let norm = position.norm else { continue }
      let channels = Self.normChannels(position, configuration)
      parameters["\(norm).weight"] = try Tensor(repeating: 1, shape: [channels], device: device)
      parameters["\(norm).bias"] = try Tensor(repeating: 0, shape: [channels], device: device)
    }
  }

  /// Parameters from a checkpoint under official names; widths and depth are read off their shapes.
  /// - Throws: `FileError` naming a tensor that is missing, of the wrong shape or too many.
  public init(
    _ state: StateDictionary, attributes: [String]? = nil, imageSize: Int = 128, statistics: NormStatistics = .instance
  ) throws {
    let first = try state.require("main.0.weight", [nil, nil, 7, 7])
    let blocks = (0..<100).prefix { state.tensors["main.\(9 + $0).main.0.weight"] != nil }.count
    let found = Configuration(width: first.shape[0], attributeCount: first.shape[1] - 3, blocks: blocks)
    configuration = found
    self.attributes = attributes ?? (0..<found.attributeCount).map { "attribute \($0)" }
    guard self.attributes.count == found.attributeCount else {
      throw FileError(state.origin, "takes \(found.attributeCount) attributes, \(self.attributes.count) are named")
    }
    self.imageSize = imageSize
    self.statistics = statistics
    parameters = [:]
    var known: Set<String> = []
    for position in Self.positions(found) {
      parameters["\(position.name).weight"] = try state.require("\(position.name).weight", position.weight)
      guard let norm = position.norm else { continue }
      let channels = Self.normChannels(position, found)
      for part in ["weight", "bias"] {
        parameters["\(norm).\(part)"] = try state.require("\(norm).\(part)", [channels])
      }
      for part in ["running_mean", "running_var"] {
        if statistics == .running || state.tensors["\(norm).\(part)"] != nil {
          parameters["\(norm).\(part)"] = try state.require("\(norm).\(part)", [channels])
        }
      }
      known.insert("\(norm).num_batches_tracked")
    }
    try state.requireNothing(besides: known.union(parameters.keys))
  }

  /// A file that `tsdf train` or `tsdf convert` wrote; its metadata names attributes and size.
  public convenience init(contentsOf url: URL, statistics: NormStatistics = .instance, device: any Device) throws {
    let file = try Safetensors(contentsOf: url)
    try self.init(
      StateDictionary(try file.tensors(on: device), origin: url.path),
      attributes: file.metadata["attributes"]?.split(separator: ",").map(String.init),
      imageSize: file.metadata["image_size"].flatMap { Int($0) } ?? 128, statistics: statistics)
  }

  /// The same network with other values for some parameters (leaves that gradients are taken of).
  func replacing(_ values: [String: Tensor]) -> StarGANGenerator {
    let copy = StarGANGenerator(copying: self)
    copy.parameters.merge(values) { $1 }
    return copy
  }

  private init(copying other: StarGANGenerator) {
    (configuration, attributes, imageSize) = (other.configuration, other.attributes, other.imageSize)
    (statistics, parameters) = (other.statistics, other.parameters)
  }

  public func callAsFunction(_ images: Tensor, condition: Tensor) throws -> GeneratorOutput {
    guard images.rank == 4, images.shape[1] == 3, images.shape[2] % 4 == 0, images.shape[3] % 4 == 0,
      condition.shape == [images.shape[0], configuration.attributeCount]
    else {
      throw KernelsError.shape(
        operation: "StarGAN",
        "images \(images.shape) (sides must be multiples of 4) and condition \(condition.shape) do not fit a generator of "
          + "\(configuration.attributeCount) attributes")
    }
    var x = try images.convolved(with: weight("main.0"), joining: condition)
    x = try normalized(x, "main.1", slope: 0)
    for position in [3, 6] {
      x = try x.convolved(with: weight("main.\(position)"), stride: 2, padding: 1)
      x = try normalized(x, "main.\(position + 1)", slope: 0)
    }
    for block in 0..<configuration.blocks {
      let base = "main.\(9 + block).main"
      let inner = try normalized(x.convolved(with: weight("\(base).0"), padding: 1), "\(base).1", slope: 0)
      x = try x + normalized(inner.convolved(with: weight("\(base).3"), padding: 1), "\(base).4", slope: 1)
    }
    let feature = x
    let up = 9 + configuration.blocks
    for position in [up, up + 3] {
      x = try x.transposeConvolved(with: weight("main.\(position)"), stride: 2, padding: 1)
      x = try normalized(x, "main.\(position + 1)", slope: 0)
    }
    let image = try x.convolved(with: weight("main.\(up + 6)"), padding: 3).tanh()
    return GeneratorOutput(image: image, feature: feature)
  }

  private func weight(_ name: String) -> Tensor { parameters["\(name).weight"]! }

  private func normalized(_ x: Tensor, _ name: String, slope: Float) throws -> Tensor {
    let (gamma, beta) = (parameters["\(name).weight"]!, parameters["\(name).bias"]!)
    switch statistics {
    case .instance: return try x.instanceNormalized(gamma: gamma, beta: beta, slope: slope)
    case .running:
      let y = try x.normalized(
        mean: parameters["\(name).running_mean"]!, variance: parameters["\(name).running_var"]!, gamma: gamma,
        beta: beta)
      return slope == 1 ? y : try y.leakyReLU(slope: slope)
    }
  }
}

/// StarGAN's discriminator: strided 4x4 convolutions with leaky ReLU, then a patch of realness scores (`conv1`) and
/// attribute logits (`conv2`).
public final class StarGANDiscriminator {
  public struct Configuration: Equatable, Sendable {
    public var width = 64
    public var layers = 6
    public var attributeCount = 5
    public var imageSize = 128

    public init(width: Int = 64, layers: Int = 6, attributeCount: Int = 5, imageSize: Int = 128) {
      (self.width, self.layers, self.attributeCount, self.imageSize) = (width, layers, attributeCount, imageSize)
    }
  }

  public let configuration: Configuration
  public private(set) var parameters: [String: Tensor]

  private static func shapes(_ c: Configuration) -> [(name: String, weight: Shape, hasBias: Bool)] {
    var all: [(String, Shape, Bool)] = []
    var channels = 3
    for layer in 0..<c.layers {
      let out = c.width << layer
      all.append(("main.\(2 * layer)", [out, channels, 4, 4], true))
      channels = out
    }
    let side = c.imageSize >> c.layers
    all.append(("conv1", [1, channels, 3, 3], false))
    all.append(("conv2", [c.attributeCount, channels, side, side], false))
    return all
  }

  /// Fresh parameters.
  /// - Throws: `KernelsError.shape` unless the image size is a multiple of 2^layers.
  public init(_ configuration: Configuration, seed: UInt64, device: any Device) throws {
    guard configuration.imageSize % (1 << configuration.layers) == 0 else {
      throw KernelsError.shape(
        operation: "StarGAN discriminator",
        "images of \(configuration.imageSize) cannot be halved \(configuration.layers) times")
    }
    self.configuration = configuration
    parameters = [:]
    var initializer = Initializer(seed: seed, device: device)
    for (name, shape, hasBias) in Self.shapes(configuration) {
      parameters["\(name).weight"] = try initializer.weight(shape)
      if hasBias { parameters["\(name).bias"] = try initializer.bias(shape[0], for: shape) }
    }
  }

  /// Parameters from a checkpoint under official names.
  public init(_ state: StateDictionary) throws {
    let first = try state.require("main.0.weight", [nil, 3, 4, 4])
    let layers = (0..<20).prefix { state.tensors["main.\(2 * $0).weight"] != nil }.count
    let head = try state.require("conv2.weight", [nil, nil, nil, nil])
    configuration = Configuration(
      width: first.shape[0], layers: layers, attributeCount: head.shape[0], imageSize: head.shape[2] << layers)
    parameters = [:]
    for (name, shape, hasBias) in Self.shapes(configuration) {
      parameters["\(name).weight"] = try state.require("\(name).weight", shape)
      if hasBias { parameters["\(name).bias"] = try state.require("\(name).bias", [shape[0]]) }
    }
    try state.requireNothing(besides: Set(parameters.keys))
  }

  func replacing(_ values: [String: Tensor]) -> StarGANDiscriminator {
    let copy = StarGANDiscriminator(copying: self)
    copy.parameters.merge(values) { $1 }
    return copy
  }

  private init(copying other: StarGANDiscriminator) {
    (configuration, parameters) = (other.configuration, other.parameters)
  }

  /// Realness scores [N, 1, h, w] and attribute logits [N, attributes] of images [N, 3, size, size].
  public func callAsFunction(_ images: Tensor) throws -> (realness: Tensor, attributes: Tensor) {
    guard images.rank == 4, Array(images.shape.dropFirst()) == [3, configuration.imageSize, configuration.imageSize]
    else {
      throw KernelsError.shape(
        operation: "StarGAN discriminator", "takes images of \(configuration.imageSize), not \(images.shape)")
    }
    var x = images
    for layer in 0..<configuration.layers {
      x = try x.convolved(
        with: parameters["main.\(2 * layer).weight"]!, bias: parameters["main.\(2 * layer).bias"]!, stride: 2,
        padding: 1, slope: 0.01)
    }
    let logits = try x.convolved(with: parameters["conv2.weight"]!)
    return (
      try x.convolved(with: parameters["conv1.weight"]!, padding: 1),
      try logits.reshaped([images.shape[0], configuration.attributeCount])
    )
  }
}
