import Foundation
import Kernels
import Networks
import Pictures

/// Trains a generator with its own losses and discriminator, from scratch or from given networks. Its whole state goes into a
/// checkpoint, so that a resumed run continues bit for bit.
public final class Trainer {
  /// What is being trained. Of a run that goes on from given networks it has what their files say.
  public var recipe: TrainingRecipe { run.recipe }
  /// Generator steps done.
  public internal(set) var step = 0
  /// Critic steps done before the first of them.
  public internal(set) var warmUpStep = 0
  /// The generator as it would be used now.
  /// - Throws: `KernelsError.usage` where none is trained.
  public var generator: any Generator {
    get throws {
      guard let objective = objective as? any GeneratorObjective else {
        throw KernelsError.usage("no generator is trained")
      }
      return try objective.trainedModel()
    }
  }

  var objective: any TrainingObjective
  let run: TrainingRun

  /// A fresh run.
  /// - Parameters:
  ///   - recipe: what is asked for.
  ///   - faces: what is trained on.
  ///   - originals: what the faces were before they were protected, for a denoiser.
  ///   - group: who works on the batches besides, with the same arguments on other devices; nil for nobody.
  ///   - device: where it is done.
  /// - Throws: `RecipeError` when the recipe holds what cannot be.
  public init(
    _ recipe: TrainingRecipe, faces: FaceSet, originals: FaceSet? = nil, group: (any ReductionGroup)? = nil,
    device: any Device
  ) throws {
    try recipe.validate()
    run = try TrainingRun(recipe, data: TrainingData(faces, originals: originals), group: group, device: device)
    objective =
      switch recipe.model {
      case AttributeClassifier.name: try ClassifierObjective(recipe, device: device)
      case Denoiser.name: try DenoiserObjective(recipe, device: device)
      default: try trainableType(recipe.model).objective.init(recipe, device: device)
      }
  }

  /// A run that goes on from given networks, as the recipe's `retraining` says.
  /// - Throws: `RecipeError` when the recipe holds what cannot be, `FileError` where the networks are not the model's.
  public init(
    _ recipe: TrainingRecipe, from start: TrainingStart, data: TrainingData, group: (any ReductionGroup)? = nil,
    device: any Device
  ) throws {
    try recipe.validate()
    var (recipe, retraining) = (recipe, recipe.retraining ?? RetrainingRecipe())
    var adversary = try trainableType(start.model).objective.init(start, &recipe, device: device)
    (retraining.generator, retraining.critic) = (start.generatorDigest, start.criticDigest)
    if start.critic != nil || retraining.isPaired { retraining.warmUpSteps = 0 }
    (recipe.model, recipe.retraining) = (start.model, retraining)
    try recipe.validate()
    func adapted<Objective: GeneratorObjective>(_ objective: Objective) throws -> Objective {
      var objective = objective
      objective.adaptation =
        try retraining.rank > 0
        ? Adaptation(rank: retraining.rank, of: objective.generator, frozen: retraining.freeze, seed: recipe.seed &+ 3)
        : Adaptation(frozen: retraining.freeze)
      guard !objective.adaptation.leaves(of: objective.generator).isEmpty else {
        throw KernelsError.usage("all parameters are frozen: nothing is left to train")
      }
      return objective
    }
    func paired(_ generator: some Generator) throws -> any TrainingObjective {
      try adapted(PairedObjective(generator))
    }
    adversary = try adapted(adversary)
    objective = retraining.isPaired ? try paired(adversary.generator) : adversary
    run = try TrainingRun(recipe, data: data, group: group, device: device)
    if !retraining.isPaired, retraining.rank == 0 { try takeOver(start.optimizers) }
  }

  /// Goes on with optimisers' states.
  private func takeOver(_ states: [String: OptimizerState]) throws {
    for (name, state) in states {
      let parameters = objective.state[name == "D" ? "D" : "G"] ?? [:]
      for (moment, tensor) in state.moments {
        guard parameters[String(moment.dropLast(2))]?.shape == tensor.shape else {
          throw KernelsError.usage("the state of an optimiser, \(moment) of \(tensor.shape), is not of this network")
        }
      }
      run.optimizers[name]?.restore(stepCount: state.stepCount, state: state.moments)
    }
  }

  /// Critic steps that are left before the first generator step.
  public var warmUpStepsLeft: Int { (recipe.retraining?.warmUpSteps ?? 0) - warmUpStep }

  /// The next step: of the critic alone while it is warmed up, then of the generator with its critic's.
  /// - Parameter reporting: whether to read the losses back (which waits for the device).
  /// - Returns: the losses by name, averaged over the batch.
  public func trainStep(reporting: Bool = true) throws -> [(name: String, value: Float)]? {
    let share = min(1, Float(recipe.steps - step) / Float(max(1, recipe.decaySteps)))
    for (name, optimizer) in run.optimizers {
      optimizer.learningRate = share * (name == "M" ? recipe.mapperLearningRate : recipe.learningRate)
    }
    let reported = try Autograd.keeping(recipe.keptPrecision) {
      try Autograd.recomputing(recipe.recomputes ?? false, takeStep)
    }
    try takeFirstState()
    return reporting ? try reported.map { ($0.name, try $0.value.item()) } : nil
  }

  private func takeStep() throws -> [LossPart] {
    if warmUpStepsLeft > 0, var adversary = objective as? any AdversarialObjective {
      let generator = adversary.state["G"]
      let reported = try adversary.criticStep(run)
      // Its norms' statistics, too, stay as they were.
      adversary.state["G"] = generator
      objective = adversary
      warmUpStep += 1
      return reported
    }
    let reported = try objective.step(run)
    step += 1
    return reported
  }

  /// Goes on from the state of a group's first member, where devices round otherwise.
  private func takeFirstState() throws {
    var all: [String: Tensor] = [:]
    for (part, tensors) in objective.state { for (name, tensor) in tensors { all["\(part)/\(name)"] = tensor } }
    for (optimizer, adam) in run.optimizers {
      for (name, tensor) in adam.state { all["optim_\(optimizer)/\(name)"] = tensor }
    }
    guard let first = try run.slicer.stateOfFirst(all) else { return }
    objective.state = Dictionary(
      uniqueKeysWithValues: objective.state.map { part, tensors in
        (part, Dictionary(uniqueKeysWithValues: tensors.map { ($0.key, first["\(part)/\($0.key)"] ?? $0.value) }))
      })
    for (optimizer, adam) in run.optimizers {
      adam.restore(
        stepCount: adam.stepCount,
        state: Dictionary(
          uniqueKeysWithValues: adam.state.map { ($0.key, first["optim_\(optimizer)/\($0.key)"] ?? $0.value) }))
    }
  }

  /// What is trained alone, a generator under official names, with what is needed to use and to judge it.
  public func writeProduct(to url: URL) throws {
    try objective.write(to: url, metadata: ["step": "\(step)", "recipe": try canonicalJSON(recipe)])
  }
}

@available(*, unavailable)
extension Trainer: Sendable {}
