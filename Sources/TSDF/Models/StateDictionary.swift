import Foundation
import Kernels

/// A network's tensors by the names that its official checkpoint uses.
public struct StateDictionary {
  public private(set) var tensors: [String: Tensor]
  /// Where they came from, for messages.
  public let origin: String

  public init(_ tensors: [String: Tensor], origin: String) {
    (self.tensors, self.origin) = (tensors, origin)
  }

  /// A tensor of the given shape; nil extents are free.
  /// - Throws: `FileError` naming a tensor that is missing or of another shape.
  public func require(_ name: String, _ shape: [Int?]) throws -> Tensor {
    guard let tensor = tensors[name] else { throw FileError(origin, "has no tensor named \(name)") }
    let fits = tensor.rank == shape.count && zip(tensor.shape, shape).allSatisfy { $1 == nil || $0 == $1 }
    guard fits else {
      let expected = shape.map { $0.map(String.init) ?? "any" }.joined(separator: ", ")
      throw FileError(origin, "\(name) has the shape \(tensor.shape), not [\(expected)]: is it another model's?")
    }
    return tensor
  }

  /// The names left when those in `used` are taken away.
  public func names(besides used: Set<String>) -> [String] { tensors.keys.filter { !used.contains($0) }.sorted() }

  /// Refuses tensors that no part of the network takes: the file is another model's.
  public func requireNothing(besides used: Set<String>) throws {
    let extra = names(besides: used)
    guard extra.isEmpty else {
      throw FileError(
        origin,
        "has \(extra.count) unexpected tensors (\(extra.prefix(3).joined(separator: ", "))): is it another model's?")
    }
  }
}

/// Draws fresh parameters as PyTorch's layers do: uniform in +-1 / sqrt(fan-in) (Kaiming uniform with a = sqrt 5).
public struct Initializer {
  private var random: RandomStream
  private let device: any Device

  public init(seed: UInt64, device: any Device) {
    random = RandomStream(seed: seed)
    self.device = device
  }

  /// A convolution weight; its fan-in is all but the first extent.
  public mutating func weight(_ shape: Shape) throws -> Tensor {
    let bound = 1 / Float(shape.dropFirst().reduce(1, *)).squareRoot()
    return try random.uniform(shape, in: -bound..<bound, device: device)
  }

  /// The bias that goes with a weight of shape `weight`.
  public mutating func bias(_ count: Int, for weight: Shape) throws -> Tensor {
    let bound = 1 / Float(weight.dropFirst().reduce(1, *)).squareRoot()
    return try random.uniform([count], in: -bound..<bound, device: device)
  }
}

/// What a generator makes of an image, and what it saw in it.
public struct GeneratorOutput {
  /// The edited image, [N, 3, H, W] in [-1, 1].
  public let image: Tensor
  /// The encoder feature that interruption drives away (method section 2), [N, C, h, w].
  public let feature: Tensor

  /// That of a range of the images.
  func slice(_ range: Range<Int>) throws -> GeneratorOutput {
    GeneratorOutput(image: try image.slice(range), feature: try feature.slice(range))
  }
}

/// An image-to-image network that edits faces by a condition.
public protocol Generator {
  /// The name on the command line.
  static var name: String { get }
  /// The attributes of its condition, in order.
  var attributes: [String] { get }
  /// Pixels a side that it was made for.
  var imageSize: Int { get }
  /// The edit of images [N, 3, H, W] under conditions [N, attributes].
  func callAsFunction(_ images: Tensor, condition: Tensor) throws -> GeneratorOutput
}
