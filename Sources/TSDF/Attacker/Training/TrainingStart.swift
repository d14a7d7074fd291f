import Foundation
import Kernels
import Networks

/// The networks that training goes on from: an official checkpoint's, or ours.
public struct TrainingStart {
  /// Which model it is.
  public let model: String
  let description: GeneratorDescription
  let generator: StateDictionary
  /// The average of the generator's weights, where the file has one.
  let average: StateDictionary?
  /// Nil where none was given: it has to be warmed up.
  let critic: StateDictionary?
  /// The labels of a face that the generator takes, in order; nil where its file does not name them.
  public var attributes: [String]? {
    description.attributes ?? description.tags.map { StyleTag.parse($0).flatMap(\.labels) }
  }
  /// Pixels a side of what the networks are trained on.
  public var imageSize: Int { get throws { try trainableType(model).objective.imageSize(of: self) } }
  /// The states of optimisers, by name, where the files have them.
  let optimizers: [String: OptimizerState]
  /// The SHA-256 of the files.
  public let generatorDigest: String, criticDigest: String?

  /// Where the networks are.
  public struct Files: Sendable {
    /// A generator's file, official or ours, or a checkpoint of `tsdf train` or `retrain`.
    public var generator: URL
    /// Its discriminator's, likewise, or the same file where that holds both; nil where there is none.
    public var critic: URL?
    /// Pixels a side, where the files do not say.
    public var imageSize: Int?

    /// The networks of these files.
    public init(generator: URL, critic: URL? = nil, imageSize: Int? = nil) {
      (self.generator, self.critic, self.imageSize) = (generator, critic, imageSize)
    }
  }

  /// Reads the networks.
  /// - Parameters:
  ///   - files: the weights to go on from.
  ///   - name: which model; by default, what the generator's file says.
  ///   - device: where it is done.
  /// - Throws: `FileError` where a file holds no such network.
  public init(_ files: Files, named name: String? = nil, on device: any Device) throws {
    let (url, criticURL) = (files.generator, files.critic)
    let keys = try name.map { try trainableType($0).generatorKeys } ?? []
    let file = try NetworkFile(url, part: "G", under: keys, on: device)
    guard let model = name ?? file.model else {
      throw FileError(url.path, "does not say which generator it is; name the model")
    }
    if let said = file.model, said != model { throw FileError(url.path, "is of \(said), not of \(model)") }
    let type = try trainableType(model)
    var description = try file.description()
    if let side = files.imageSize { description.imageSize = side }
    (self.model, self.generator, self.description) = (model, file.state, description)
    let judge = try criticURL.map { try NetworkFile($0, part: "D", under: type.criticKeys, on: device) }
    critic = judge?.state
    optimizers = try file.optimizers(["G", "M"], of: type.generatorKeys, on: device).merging(
      judge?.optimizers(["D"], of: type.criticKeys, on: device) ?? [:]
    ) { $1 }
    average = try file.average(under: type.averageKeys, on: device)
    generatorDigest = sha256(try Data(contentsOf: url, options: .alwaysMapped)).hexadecimal
    criticDigest = try criticURL.map { sha256(try Data(contentsOf: $0, options: .alwaysMapped)).hexadecimal }
  }
}

@available(*, unavailable)
extension TrainingStart: Sendable {}

/// What an optimiser goes on from: how many steps it took, and its moments by parameter, `NAME.m` and `NAME.v`.
struct OptimizerState {
  var stepCount: Int
  var moments: [String: Tensor]
}

/// A file that holds a network, alone or among others.
private struct NetworkFile {
  let state: StateDictionary
  /// All that the file holds, where it is a checkpoint of ours.
  private let checkpoint: StateDictionary?
  private let url: URL
  private let metadata: [String: String]
  private let recipe: TrainingRecipe?

  /// - Parameters:
  ///   - part: the network's prefix in our checkpoints.
  ///   - keys: where official ones nest it.
  init(_ url: URL, part: String, under keys: [String], on device: any Device) throws {
    self.url = url
    let (whole, metadata) = try StateDictionary.read(url, under: keys, on: device)
    self.metadata = metadata
    guard metadata["kind"] == TrainingCheckpoint.kind else {
      (state, checkpoint, recipe) = (whole, nil, nil)
      return
    }
    (state, checkpoint) = (whole.part(part), whole)
    guard !state.tensors.isEmpty else { throw FileError(url.path, "has no network \(part)") }
    recipe = metadata["recipe"].flatMap { try? JSONDecoder().decode(TrainingRecipe.self, from: Data($0.utf8)) }
  }

  var model: String? { recipe?.model ?? metadata["kind"] }

  func description() throws -> GeneratorDescription {
    guard let recipe else { return try GeneratorDescription(metadata, origin: url.path) }
    var description = GeneratorDescription()
    (description.attributes, description.imageSize) = (recipe.attributes, recipe.imageSize)
    description.tags = recipe.tags.isEmpty ? nil : recipe.tags
    return description
  }

  /// The states of a network's optimisers beside it: ours by name, an official checkpoint's under `optim_G` or `optim_D`.
  func optimizers(_ names: [String], of keys: [String], on device: any Device) throws -> [String: OptimizerState] {
    var found: [String: OptimizerState] = [:]
    if let checkpoint {
      for name in names {
        let moments = checkpoint.part("optim_\(name)").tensors
        guard let text = metadata["optim_\(name)_steps"], let count = Int(text), count > 0, !moments.isEmpty else {
          continue
        }
        found[name] = OptimizerState(stepCount: count, moments: moments)
      }
    } else if metadata.isEmpty, let checkpoint = try? TorchCheckpoint(contentsOf: url), let key = keys.first {
      let state = try checkpoint.adamState(under: "optim_\(names[0])", of: key, on: device)
      found[names[0]] = state.map { OptimizerState(stepCount: $0.stepCount, moments: $0.moments) }
    }
    return found
  }

  /// The averaged weights beside the network; nil where there are none.
  func average(under keys: [String], on device: any Device) throws -> StateDictionary? {
    if let extra = checkpoint?.part("extra") {
      return extra.tensors.isEmpty ? nil : extra
    }
    guard !keys.isEmpty else { return nil }
    let found = try StateDictionary.read(url, under: keys, on: device).state
    return found.tensors.keys == state.tensors.keys ? found : nil
  }
}
