import Foundation
import Kernels

/// A network's tensors by the names that its official checkpoint uses.
public struct StateDictionary {
  /// The tensors by name.
  public private(set) var tensors: [String: Tensor]
  /// Where they came from, for messages.
  public let origin: String

  /// - Parameters:
  ///   - tensors: by name.
  ///   - origin: where they came from, for messages: a file's path.
  public init(_ tensors: [String: Tensor], origin: String) {
    (self.tensors, self.origin) = (tensors, origin)
  }

  /// The tensors of a safetensors file, or of a PyTorch checkpoint, zip or legacy, and the metadata of the former.
  /// - Parameters:
  ///   - url: a .safetensors, .pth, .pt or .ckpt file.
  ///   - keys: where a checkpoint nests the network, the most wanted first; tensors at the top are taken where
  ///     none of these is there.
  ///   - device: where the tensors go.
  /// - Throws: `FileError` when the file is neither, or does not hold what it says.
  public static func read(_ url: URL, under keys: [String] = [], on device: any Device) throws
    -> (state: StateDictionary, metadata: [String: String])
  {
    let file = try MappedFile(url)
    if url.pathExtension == "safetensors" || Safetensors.matches(file.data) {
      let safetensors = try Safetensors(file, path: url.path)
      return (StateDictionary(try safetensors.tensors(on: device), origin: url.path), safetensors.metadata)
    }
    let checkpoint = try TorchCheckpoint(file.data, path: url.path)
    let key = keys.first { checkpoint.contains(key: $0) }
    return (StateDictionary(try checkpoint.tensors(under: key, on: device), origin: url.path), [:])
  }

  /// The tensors of one part, `PREFIX.NAME`, by their names without it.
  package func part(_ prefix: String) -> StateDictionary {
    StateDictionary(
      Dictionary(
        uniqueKeysWithValues: tensors.filter { $0.key.hasPrefix(prefix + ".") }
          .map { (String($0.key.dropFirst(prefix.count + 1)), $0.value) }), origin: origin)
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

  /// A convolution's weight and bias, and the names of all that they were made of: the batch norm after it is folded in where it is
  /// there still.
  /// - Parameter norm: what that norm is called.
  package func convolution(_ name: String, norm: String?, _ shape: [Int?]) throws -> (
    weight: Tensor, bias: Tensor, names: Set<String>
  ) {
    let weight = try require("\(name).weight", shape)
    let channels = weight.shape[0]
    guard let norm, tensors["\(norm).running_mean"] != nil else {
      return (weight, try require("\(name).bias", [channels]), ["\(name).weight", "\(name).bias"])
    }
    let (gain, shift, mean, variance) = try (
      require("\(norm).weight", [channels]), require("\(norm).bias", [channels]),
      require("\(norm).running_mean", [channels]), require("\(norm).running_var", [channels])
    )
    var names = Set(
      ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"].map { "\(norm).\($0)" } + [
        "\(name).weight"
      ])
    let scale = try gain / (variance + 1e-5).sqrt()
    var bias = try shift - mean * scale
    if tensors["\(name).bias"] != nil {
      bias = try bias + require("\(name).bias", [channels]) * scale
      names.insert("\(name).bias")
    }
    return (try weight * scale.reshaped([channels, 1, 1, 1]), bias, names)
  }

  /// The names left when those in `used` are taken away.
  package func names(besides used: Set<String>) -> [String] { tensors.keys.filter { !used.contains($0) }.sorted() }

  /// Refuses tensors that no part of the network takes: the file is another model's.
  package func requireNothing(besides used: Set<String>) throws {
    let extra = names(besides: used)
    guard extra.isEmpty else {
      let what =
        extra.count == 1
        ? "the unexpected tensor \(extra[0])"
        : "\(extra.count) unexpected tensors (\(extra.prefix(3).joined(separator: ", ")))"
      throw FileError(origin, "has \(what): is it another model's?")
    }
  }
}

@available(*, unavailable)
extension StateDictionary: Sendable {}
