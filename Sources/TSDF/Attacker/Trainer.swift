import Foundation
import Kernels
import Networks
import Pictures

/// What trains one family of generators: its networks, its losses. Running, checkpoints and reports are `Trainer`'s.
protocol TrainingObjective {
  associatedtype Model: Generator
  associatedtype Critic: Network

  /// What the authors trained with.
  static var defaults: TrainingRecipe { get }

  /// Fresh networks.
  init(_ recipe: TrainingRecipe, device: any Device) throws

  /// The same networks with a checkpoint's parameters.
  mutating func restore(generator: StateDictionary, critic: StateDictionary) throws

  var generator: Model { get set }
  var critic: Critic { get set }
  /// The generator to use and to write: an average of weights where the family keeps one.
  var product: Model { get }
  /// What a checkpoint holds besides the two networks and the optimisers.
  var extraState: [String: Tensor] { get set }

  /// One generator step with its critic steps.
  /// - Returns: what it reports, by name.
  mutating func step(_ run: TrainingRun) throws -> [(name: String, value: Tensor)]
}

extension TrainingObjective {
  var product: Model { generator }
  var extraState: [String: Tensor] {
    get { [:] }
    set {}
  }
}

/// What objectives take from a run: data, random numbers, optimisers.
final class TrainingRun {
  let recipe: TrainingRecipe
  let faces: FaceSet
  let device: any Device
  let slicer: BatchSlicer
  var random: RandomStream
  let optimizers: [String: Adam]

  init(_ recipe: TrainingRecipe, faces: FaceSet, device: any Device) {
    (self.recipe, self.faces, self.device) = (recipe, faces, device)
    slicer = BatchSlicer(device: device)
    random = RandomStream(seed: recipe.seed &+ 2)
    optimizers = Dictionary(
      uniqueKeysWithValues: ["G", "D", "M"].map {
        ($0, Adam(learningRate: recipe.learningRate, beta1: recipe.beta1, beta2: recipe.beta2))
      })
  }

  /// One step of a network's parameters against a loss that is a mean over a range of the batch.
  /// - Parameters:
  ///   - leaves: the parameters, as leaves that the loss was computed from.
  ///   - optimizer: G, D, or M for HiSD's mappers.
  /// - Returns: what the loss reports.
  func update(
    _ leaves: [(optimizer: String, leaves: [String: Tensor])],
    _ loss: (Range<Int>) throws -> (loss: Tensor, reported: [Tensor])
  ) throws -> [Tensor] {
    let all = leaves.flatMap { group in group.leaves.keys.sorted().map { (group.optimizer, $0, group.leaves[$0]!) } }
    let (found, reported) = try slicer.gradients(count: recipe.batch, withRespectTo: all.map(\.2), of: loss)
    for (name, optimizer) in optimizers {
      let steps = zip(all, found).filter { $0.0.0 == name }.map { ($0.0.1, $0.0.2, $0.1) }
      if !steps.isEmpty { try optimizer.step(steps) }
    }
    return reported
  }

  /// The faces of a batch, some mirrored.
  func images(_ indices: [Int]) throws -> Tensor {
    let mirrored = indices.map { _ in random.integer(below: 2) == 1 }
    return try faces.batch(indices, mirrored: mirrored, on: device)
  }
}

/// Trains a generator from scratch with its own losses and discriminator. Its whole state goes into a checkpoint, so that
/// a resumed run continues bit for bit.
public final class Trainer {
  public var recipe: TrainingRecipe { run.recipe }
  /// Generator steps done.
  public internal(set) var step = 0
  /// The generator as it would be used now.
  public var generator: any Generator { objective.product }

  var objective: any TrainingObjective
  let run: TrainingRun

  /// A fresh run.
  /// - Throws: `RecipeError` when the recipe holds what cannot be.
  public init(_ recipe: TrainingRecipe, faces: FaceSet, device: any Device) throws {
    try recipe.validate()
    run = TrainingRun(recipe, faces: faces, device: device)
    objective = try trainerType(recipe.model).init(recipe, device: device)
  }

  /// One generator step with its critic steps.
  /// - Parameter reporting: whether to read the losses back (which waits for the device).
  /// - Returns: the losses by name, averaged over the batch.
  public func trainStep(reporting: Bool = true) throws -> [(name: String, value: Float)]? {
    let share = min(1, Float(recipe.steps - step) / Float(max(1, recipe.decaySteps)))
    for (name, optimizer) in run.optimizers {
      optimizer.learningRate = share * (name == "M" ? recipe.mapperLearningRate : recipe.learningRate)
    }
    let reported = try Autograd.keeping(recipe.keptPrecision) { try objective.step(run) }
    step += 1
    return reporting ? try reported.map { ($0.name, try $0.value.item()) } : nil
  }

  /// The generator alone, under official names, with what is needed to use and to judge it.
  public func writeGenerator(to url: URL) throws {
    try generator.write(to: url, metadata: ["step": "\(step)", "recipe": try canonicalJSON(recipe)])
  }
}

@available(*, unavailable)
extension Trainer: Sendable {}

/// What trains the generators, by name.
func trainerType(_ name: String) throws -> any TrainingObjective.Type {
  switch try generatorType(name) {
  case let type as any TrainableGenerator.Type: return type.objective
  default: throw FileError(name, "cannot be trained here")
  }
}

/// A generator with an objective.
protocol TrainableGenerator: Generator {
  static var objective: any TrainingObjective.Type { get }
}
