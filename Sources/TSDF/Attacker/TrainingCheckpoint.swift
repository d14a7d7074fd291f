import Foundation
import Kernels
import Networks

extension Trainer {
  /// Everything that a resumed run needs, written atomically.
  public func writeCheckpoint(to url: URL) throws {
    var tensors: [String: Tensor] = [:]
    func add(_ prefix: String, _ values: [String: Tensor]) {
      for (name, value) in values { tensors["\(prefix).\(name)"] = value }
    }
    var metadata = [
      "kind": "training", "tsdf": tsdfVersion, "step": "\(step)", "random_position": "\(run.random.position)",
      "recipe": try canonicalJSON(recipe),
    ]
    add("G", objective.generator.parameters)
    add("D", objective.critic.parameters)
    add("extra", objective.extraState)
    for (name, optimizer) in run.optimizers {
      add("optim_\(name)", optimizer.state)
      metadata["optim_\(name)_steps"] = "\(optimizer.stepCount)"
    }
    try Safetensors.write(tensors, metadata: metadata, to: url)
  }

  /// Continues from a checkpoint of the same recipe; only the steps, the learning rates and the losses' weights may differ,
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
    guard file.metadata["kind"] == "training", let text = file.metadata["recipe"],
      let saved = try? JSONDecoder().decode(TrainingRecipe.self, from: Data(text.utf8))
    else { throw FileError(url.path, "is not a checkpoint of tsdf train") }
    guard saved.steered(as: recipe) == recipe else {
      throw FileError(url.path, "was made with other options; give the same ones, or another --output")
    }
    let step = try number("step", as: Int.self)
    let position = try number("random_position", as: UInt64.self)
    let stepCounts = try run.optimizers.map { name, _ in (name, try number("optim_\(name)_steps", as: Int.self)) }
    let all = StateDictionary(try file.tensors(on: run.device), origin: url.path)
    func part(_ prefix: String) -> [String: Tensor] {
      Dictionary(
        uniqueKeysWithValues: all.tensors.filter { $0.key.hasPrefix(prefix + ".") }
          .map { (String($0.key.dropFirst(prefix.count + 1)), $0.value) })
    }
    // Kernels trust the shapes: all that is taken over has those of what it replaces.
    var used: Set<String> = []
    func require(_ name: String, like tensor: Tensor) throws {
      _ = try all.require(name, tensor.shape)
      used.insert(name)
    }
    for (name, tensor) in objective.generator.parameters { try require("G.\(name)", like: tensor) }
    for (name, tensor) in objective.extraState { try require("extra.\(name)", like: tensor) }
    for (name, tensor) in objective.critic.parameters where all.tensors["D.\(name)"] != nil {
      try require("D.\(name)", like: tensor)
    }
    // Objectives say what other names of discriminators mean.
    used.formUnion(all.tensors.keys.filter { $0.hasPrefix("D.") })
    var restored = objective
    try restored.restore(
      generator: StateDictionary(part("G"), origin: url.path), critic: StateDictionary(part("D"), origin: url.path))
    for (name, _) in run.optimizers {
      let parameters = name == "D" ? restored.critic.parameters : restored.generator.parameters
      for (parameter, tensor) in parameters {
        let moments = ["m", "v"].map { "optim_\(name).\(parameter).\($0)" }
        guard moments.contains(where: { all.tensors[$0] != nil }) else { continue }
        for moment in moments { try require(moment, like: tensor) }
      }
    }
    try all.requireNothing(besides: used)
    restored.extraState = part("extra")
    objective = restored
    for (name, count) in stepCounts { run.optimizers[name]?.restore(stepCount: count, state: part("optim_\(name)")) }
    run.random.position = position
    self.step = step
  }
}
