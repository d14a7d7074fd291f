import Foundation
import Kernels
import Networks
import Pictures

/// Makes a universal perturbation, batch by batch, by the method that the recipe names. Its whole state goes into a
/// checkpoint.
public final class Crafter {
  /// What is being made.
  public var recipe: CraftRecipe { run.recipe }
  /// The perturbation so far, [1, 3, size, size], within +-epsilon.
  public var perturbation: Tensor { run.perturbation }
  /// Batches done, over all passes.
  public var step: Int { run.step }
  /// Batches in all; methods of several stages have all passes each.
  public var stepCount: Int { run.stepCount }

  let run: CraftingRun
  var method: any CraftingMethod

  /// - Parameters:
  ///   - recipe: what is asked for.
  ///   - faces: what is crafted on.
  ///   - generators: those that are worked against.
  ///   - detectors: those that are worked against.
  ///   - group: who works on the batches besides, with the same arguments on other devices; nil for nobody.
  ///   - device: where it is done.
  /// - Throws: `KernelsError.usage` when the method lacks what it works against, `RecipeError` when the recipe holds what
  ///   cannot be.
  public init(
    _ recipe: CraftRecipe, faces: FaceSet, generators: [any Generator], detectors: [any FaceDetector],
    group: (any ReductionGroup)? = nil, device: any Device
  ) throws {
    try recipe.validate()
    if recipe.method.generators == .required, generators.isEmpty {
      throw KernelsError.usage("--method \(recipe.method.rawValue) needs a generator")
    }
    if recipe.method.detectors == .required, detectors.isEmpty {
      throw KernelsError.usage("--method \(recipe.method.rawValue) needs a detector")
    }
    run = try CraftingRun(
      recipe, faces: faces, generators: recipe.method.generators == .none ? [] : generators,
      detectors: recipe.method.detectors == .none ? [] : detectors, group: group, device: device)
    method = try recipe.method.type.init(run)
  }

  /// One batch.
  public func craftStep() throws {
    try Autograd.keeping(recipe.keptPrecision) { try method.step(run.batch(), run) }
    let state = method.state
    if let first = try run.slicer.stateOfFirst(state.merging(["perturbation": run.perturbation]) { $1 }) {
      run.perturbation = first["perturbation"] ?? run.perturbation
      method.state = first.filter { state[$0.key] != nil }
    }
    run.step += 1
  }

  /// The share of the perturbation's values that the intensity-separation mask leaves free to poison: below tau.
  public func weakShare() throws -> Float {
    let values = try perturbation.values()
    return Float(values.count { abs($0) < recipe.tau }) / Float(values.count)
  }
}

@available(*, unavailable)
extension Crafter: Sendable {}
