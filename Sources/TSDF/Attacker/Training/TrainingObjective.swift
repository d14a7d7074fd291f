import Foundation
import Kernels
import Networks

/// What networks are trained for: their losses. Running, checkpoints and reports are `Trainer`'s.
protocol TrainingObjective {
  /// The tensors that change in training, by part and name: `G`, the generator's; `D`, the critic's; `patch`, the
  /// adaptation's; `extra`, what else the objective keeps. New values have the shapes of those that they replace.
  var state: [String: [String: Tensor]] { get set }

  /// One step, of a generator with its critic's.
  /// - Returns: what it reports.
  mutating func step(_ run: TrainingRun) throws -> [LossPart]

  /// Writes what was trained, to be used.
  func write(to url: URL, metadata: [String: String]) throws
}

/// What a generator is trained for.
protocol GeneratorObjective: TrainingObjective {
  associatedtype Model: Generator

  var generator: Model { get }
  /// What of the generator is trained.
  var adaptation: Adaptation { get set }
  /// The generator to use and to write: an average of weights where the family or the recipe has one kept.
  func trainedModel() throws -> Model
}

extension GeneratorObjective {
  func write(to url: URL, metadata: [String: String]) throws { try trainedModel().write(to: url, metadata: metadata) }
}

/// A game of a generator with a critic.
protocol AdversarialObjective: GeneratorObjective {
  associatedtype Critic: Network

  /// What the authors trained with.
  static var defaults: TrainingRecipe { get }

  /// Fresh networks.
  init(_ recipe: TrainingRecipe, device: any Device) throws

  /// Given networks, and a fresh critic where none is given; the recipe gets to know their extents.
  init(_ start: TrainingStart, _ recipe: inout TrainingRecipe, device: any Device) throws

  /// Pixels a side of what given networks are trained on.
  static func imageSize(of start: TrainingStart) throws -> Int

  var critic: Critic { get }

  /// One step of the critic against the generator as it is.
  mutating func criticStep(_ run: TrainingRun) throws -> [LossPart]

  /// The losses of a step on given tensors, as functions of the network that they train: of the critic, which judges what the
  /// generator as it is makes, and of the generator against the critic as it is.
  /// - Parameters:
  ///   - input: tensors by name, as `tsdf forward --critic` reads them.
  ///   - tag: HiSD's.
  func losses(of input: (String) throws -> Tensor, tag: Int, recipe: TrainingRecipe) throws -> (
    critic: (Critic) throws -> TrainingLoss, generator: (Model) throws -> TrainingLoss
  )
}

/// A part of a loss, one element: `d.` the critic's, `g.` the generator's.
typealias LossPart = (name: String, value: Tensor)

/// What a step minimises, one element, and what to report of it.
struct TrainingLoss {
  let total: Tensor
  let parts: [LossPart]

  init(_ total: Tensor, _ parts: [LossPart]) { (self.total, self.parts) = (total, parts) }
}

/// A generator that can be trained.
protocol TrainableGenerator: Generator {
  static var objective: any AdversarialObjective.Type { get }
  /// Where official checkpoints nest what training goes on from, the most wanted first: the generator, the average of its
  /// weights where the family keeps one, the critic.
  static var generatorKeys: [String] { get }
  static var averageKeys: [String] { get }
  static var criticKeys: [String] { get }
}

extension TrainableGenerator {
  static var generatorKeys: [String] { checkpointKeys }
  static var averageKeys: [String] { [] }
  static var criticKeys: [String] { ["D"] }
}

/// The type of a generator that can be trained, by name.
func trainableType(_ name: String) throws -> any TrainableGenerator.Type {
  guard let type = try generatorType(name) as? any TrainableGenerator.Type else {
    throw FileError(name, "cannot be trained here")
  }
  return type
}
