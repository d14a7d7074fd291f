import Foundation
import Kernels
import Networks

/// What tells a training's checkpoint from other files.
enum TrainingCheckpoint {
  /// The `kind` in its metadata.
  static let kind = "training"
}

extension Trainer {
  /// Everything that a resumed run needs, written atomically.
  public func writeCheckpoint(to url: URL) throws {
    var tensors: [String: Tensor] = [:]
    func add(_ prefix: String, _ values: [String: Tensor]) {
      for (name, value) in values { tensors["\(prefix).\(name)"] = value }
    }
    var metadata = [
      "kind": TrainingCheckpoint.kind, "tsdf": tsdfVersion, "step": "\(step)",
      "random_position": "\(run.random.position)", "recipe": try canonicalJSON(recipe),
      "data": run.dataDigest,
    ]
    if warmUpStep > 0 { metadata["warm_up_step"] = "\(warmUpStep)" }
    for (part, values) in objective.state { add(part, values) }
    for (name, optimizer) in run.optimizers {
      add("optim_\(name)", optimizer.state)
      metadata["optim_\(name)_steps"] = "\(optimizer.stepCount)"
    }
    try Safetensors.write(tensors, metadata: metadata, to: url)
  }

  /// Continues from a checkpoint of the same recipe and faces; only the steps, the learning rates and the losses' weights may differ,
  /// so that a run can be made longer and steered.
  /// - Throws: `FileError` when the file is another recipe's, or does not hold what a checkpoint of it does: then nothing is
  ///   changed.
  public func restore(from url: URL) throws {
    let file = try Safetensors(contentsOf: url)
    func number<T: FixedWidthInteger>(_ key: String, as type: T.Type) throws -> T {
      guard let text = file.metadata[key], let value = T(text), value >= 0 else {
        throw FileError(url.path, "is not a checkpoint of tsdf train: its \(key) is \(file.metadata[key] ?? "missing")")
      }
      return value
    }
    guard file.metadata["kind"] == TrainingCheckpoint.kind, let text = file.metadata["recipe"],
      let saved = try? JSONDecoder().decode(TrainingRecipe.self, from: Data(text.utf8))
    else { throw FileError(url.path, "is not a checkpoint of tsdf train") }
    guard saved.steered(as: recipe) == recipe else {
      throw FileError(url.path, "was made with other options; give the same ones, or another --output")
    }
    guard file.metadata["data"].map({ $0 == run.dataDigest }) ?? true else {
      throw FileError(url.path, "was trained on other faces; give the same ones, or another --output")
    }
    guard recipe.model != HiSDGenerator.name || (saved.classificationWeight > 0) == (recipe.classificationWeight > 0)
    else {
      throw FileError(
        url.path, "holds another discriminator: --classification-weight must stay 0, or above 0, during a run")
    }
    let step = try number("step", as: Int.self)
    let warmUpStep = file.metadata["warm_up_step"] == nil ? 0 : try number("warm_up_step", as: Int.self)
    let position = try number("random_position", as: UInt64.self)
    let stepCounts = try run.optimizers.map { name, _ in (name, try number("optim_\(name)_steps", as: Int.self)) }
    let all = StateDictionary(try file.tensors(on: run.device), origin: url.path)
    // Kernels trust the shapes: all that is taken over has those of what it replaces.
    var used: Set<String> = []
    func require(_ name: String, like tensor: Tensor) throws -> Tensor {
      used.insert(name)
      return try all.require(name, tensor.shape)
    }
    let current = objective.state
    let restored = try Dictionary(
      uniqueKeysWithValues: current.map { part, tensors in
        (
          part,
          try Dictionary(
            uniqueKeysWithValues: tensors.map { ($0, try require("\(part).\($0)", like: $1)) })
        )
      })
    for (name, _) in run.optimizers {
      for (part, tensors) in current where (name == "D") == (part == "D") {
        for (parameter, tensor) in tensors {
          let moments = ["m", "v"].map { "optim_\(name).\(parameter).\($0)" }
          guard moments.contains(where: { all.tensors[$0] != nil }) else { continue }
          for moment in moments { _ = try require(moment, like: tensor) }
        }
      }
    }
    try all.requireNothing(besides: used)
    objective.state = restored
    for (name, count) in stepCounts {
      run.optimizers[name]?.restore(stepCount: count, state: all.part("optim_\(name)").tensors)
    }
    run.random.position = position
    (self.step, self.warmUpStep) = (step, warmUpStep)
  }
}
