import Foundation
import Kernels

/// What a generator makes of an image, and what it saw in it.
public struct GeneratorOutput {
  /// The edited image, [N, 3, H, W], about [-1, 1].
  public let image: Tensor
  /// The encoder feature that interruption drives away (method section 2), [N, C, h, w].
  public let feature: Tensor

  /// An image and the feature that it was made from.
  public init(image: Tensor, feature: Tensor) { (self.image, self.feature) = (image, feature) }

  /// That of a range of the images.
  package func slice(_ range: Range<Int>) throws -> GeneratorOutput {
    GeneratorOutput(image: try image.slice(range), feature: try feature.slice(range))
  }
}

@available(*, unavailable)
extension GeneratorOutput: Sendable {}

/// What a generator is asked for, image by image.
public struct Condition {
  /// Attributes or a style code, [N, values], as the network takes them.
  public let values: Tensor
  /// Which of the generator's tags the style is for, one an image; empty where it has none.
  public let tags: [Int]

  /// - Parameters:
  ///   - values: [N, values], as the network takes them.
  ///   - tags: one an image; empty where the generator has none.
  public init(_ values: Tensor, tags: [Int] = []) { (self.values, self.tags) = (values, tags) }

  /// That of a range of the images, which lies within them.
  public func slice(_ range: Range<Int>) throws -> Condition {
    Condition(try values.slice(range), tags: tags.isEmpty ? [] : Array(tags[range]))
  }

  /// Those of several batches, at least one, for one generator, as of one batch.
  package static func joined(_ batches: [Condition]) throws -> Condition {
    guard batches.count > 1 else { return batches[0] }
    return Condition(
      try Tensor.concatenated(batches.map(\.values), axis: 0), tags: batches.flatMap(\.tags))
  }
}

@available(*, unavailable)
extension Condition: Sendable {}

/// What a checkpoint's shapes do not say about a generator.
public struct GeneratorDescription: Sendable {
  /// The names of the attributes, in order; made up where they are not known.
  public var attributes: [String]?
  /// Pixels a side that it was made for; the model's own default where it is not known.
  public var imageSize: Int?
  /// HiSD's tags, separated by semicolons: each a label, or several exclusive ones separated by commas, as in
  /// `Male;Child,Young,Middle,Senior`.
  public var tags: String?
  /// Which statistics its norms use.
  public var statistics = NormStatistics.instance

  /// Nothing is known.
  public init() {}

  /// From the metadata that `tsdf train` and `tsdf convert --metadata` write.
  /// - Throws: `FileError` naming `origin` when the image size is none.
  public init(_ metadata: [String: String], origin: String) throws {
    attributes = metadata["attributes"]?.split(separator: ",").map(String.init)
    imageSize = try metadata["image_size"].map { text in
      guard let size = Int(text), (8...8192).contains(size) else {
        throw FileError(origin, "has the image size \(text); it must be from 8 to 8192")
      }
      return size
    }
    tags = metadata["tags"]
  }

  /// The attributes' names, of which there must be `count`.
  func attributes(_ count: Int, _ origin: String) throws -> [String] {
    guard count > 0 else { throw FileError(origin, "takes no attribute: is it another model's?") }
    let names = attributes ?? (0..<count).map { "attribute \($0)" }
    guard names.count == count else { throw FileError(origin, "takes \(count) attributes, \(names.count) are named") }
    return names
  }
}

/// An image-to-image network that edits faces by a condition. All that crafting, metrics and commands know of a model.
public protocol Generator: Network, SendableMetatype {
  /// The name on the command line.
  static var name: String { get }
  /// Where official checkpoints nest the network, the most wanted first.
  static var checkpointKeys: [String] { get }

  /// The labels of a face that `condition` takes, in order.
  var attributes: [String] { get }
  /// The edits that can be asked for, by name.
  var edits: [String] { get }
  /// Pixels a side that it was made for.
  var imageSize: Int { get }
  /// What its files say of it besides its parameters.
  var metadata: [String: String] { get }

  /// The parameters of a checkpoint under official names; widths and depth are read off their shapes.
  /// - Throws: `FileError` naming a tensor that is missing, of the wrong shape or too many.
  init(_ state: StateDictionary, _ description: GeneratorDescription) throws

  /// Asks for one edit a face.
  /// - Parameters:
  ///   - edits: numbers into `edits`, ascending where the generator has tags.
  ///   - labels: each face's attributes, 0 or 1; nothing where they are not known.
  ///   - random: for generators whose edits vary.
  ///   - device: where its tensors live.
  func condition(_ edits: [Int], labels: [[Float]], random: inout RandomStream, device: any Device) throws -> Condition

  /// What an edit asks for: an attribute, and whether the face is to have it (1) or not (0).
  /// - Parameters:
  ///   - edit: a number into `edits`.
  ///   - labels: the face's attributes, 0 or 1; nothing where they are not known.
  func asked(_ edit: Int, labels: [Float]) -> (attribute: String, value: Float)

  /// A condition from raw tensors by name, fed as they are.
  /// - Parameters:
  ///   - input: gives a tensor by its name.
  ///   - tag: for generators with tags.
  func condition(from input: (String) throws -> Tensor, tag: Int) throws -> Condition

  /// Puts what is fixed where nothing is trained, norms' stored statistics above all, into the weights, in their place.
  mutating func foldNorms() throws

  /// The edit of images [N, 3, H, W] in [-1, 1].
  func callAsFunction(_ images: Tensor, condition: Condition) throws -> GeneratorOutput
}

extension Generator {
  /// Each attribute can be asked for.
  public var edits: [String] { attributes }

  /// Nothing is fixed.
  public mutating func foldNorms() {}

  /// Its name, its attributes and its image size, under `kind`, `attributes` and `image_size`.
  public var metadata: [String: String] {
    ["kind": Self.name, "attributes": attributes.joined(separator: ","), "image_size": "\(imageSize)"]
  }

  /// The tensor named `c`, without tags.
  public func condition(from input: (String) throws -> Tensor, tag: Int) throws -> Condition {
    Condition(try input("c"))
  }

  /// The attribute vectors of edits: labels that are not known count as 0.
  func attributeVectors(_ edits: [Int], _ labels: [[Float]]) -> [[Float]] {
    zip(edits, labels).map { edit, known in
      let known = known.count == attributes.count ? known : [Float](repeating: 0, count: attributes.count)
      return editCondition(attributes, labels: known, toggling: edit)
    }
  }

  /// The faces' attributes with the edit's changed, [N, attributes]; those that are not known count as 0.
  public func condition(_ edits: [Int], labels: [[Float]], random: inout RandomStream, device: any Device) throws
    -> Condition
  {
    let rows = attributeVectors(edits, labels)
    return Condition(try Tensor(rows.flatMap { $0 }, shape: [rows.count, attributes.count], device: device))
  }

  /// The attribute that the edit is named after.
  public func asked(_ edit: Int, labels: [Float]) -> (attribute: String, value: Float) {
    (attributes[edit], attributeVectors([edit], [labels])[0][edit])
  }

  func require(_ images: Tensor, sidesOfMultiple multiple: Int) throws {
    guard images.rank == 4, images.shape[1] == 3, images.shape[2] % multiple == 0, images.shape[3] % multiple == 0
    else {
      throw KernelsError.shape(
        operation: Self.name, "takes RGB images with sides of a multiple of \(multiple), not \(images.shape)")
    }
  }

  func require(_ condition: Condition, _ count: Int, for images: Tensor) throws {
    guard condition.values.shape == [images.shape[0], count] else {
      throw KernelsError.shape(
        operation: Self.name,
        "a condition of \(condition.values.shape) does not fit \(images.shape[0]) images and \(count) values each")
    }
  }

  /// Writes the parameters and what must be known besides to a safetensors file, which `loadGenerator` reads.
  /// - Parameters:
  ///   - url: a .safetensors file, or an official checkpoint.
  ///   - more: further metadata, which replaces the generator's own of the same keys.
  /// - Throws: `FileError` where the file cannot be written.
  public func write(to url: URL, metadata more: [String: String] = [:]) throws {
    try Safetensors.write(
      parameters, metadata: metadata.merging(["tsdf": tsdfVersion]) { $1 }.merging(more) { $1 }, to: url)
  }
}

/// All generators by name: what adding one takes, besides its own files.
private let generatorTypes: [any Generator.Type] = [
  StarGANGenerator.self, AttentionGANGenerator.self, AttGANGenerator.self, HiSDGenerator.self,
]

/// The names of all generators.
public let generatorNames = generatorTypes.map { $0.name }

/// The generator type of a name.
/// - Throws: `FileError` when there is none.
package func generatorType(_ name: String) throws -> any Generator.Type {
  guard let type = generatorTypes.first(where: { $0.name == name }) else {
    throw FileError(name, "is no generator; there are \(generatorNames.joined(separator: ", "))")
  }
  return type
}

/// A generator from a safetensors file or an official checkpoint, for use, not for training.
/// - Parameters:
///   - url: a .safetensors file, or an official checkpoint.
///   - name: which, one of `generatorNames`; by default, what the file's metadata says.
///   - statistics: which statistics its norms use, where it has a choice.
///   - device: where its tensors live.
/// - Throws: `FileError` where the file is none, does not say which generator it is, or holds another's.
public func loadGenerator(
  _ url: URL, named name: String? = nil, statistics: NormStatistics = .instance, on device: any Device
) throws -> any Generator {
  var generator = try readGenerator(url, named: name, statistics: statistics, on: device)
  try generator.foldNorms()
  return generator
}

private func readGenerator(
  _ url: URL, named name: String?, statistics: NormStatistics, on device: any Device
) throws -> any Generator {
  let keys = try name.map { try generatorType($0).checkpointKeys } ?? []
  let (state, metadata) = try StateDictionary.read(url, under: keys, on: device)
  guard let name = name ?? metadata["kind"] else {
    throw FileError(
      url.path,
      "does not say which generator it is; convert it with --metadata kind=NAME, NAME one of "
        + generatorNames.joined(separator: ", "))
  }
  var description = try GeneratorDescription(metadata, origin: url.path)
  description.statistics = statistics
  return try generatorType(name).init(state, description)
}
