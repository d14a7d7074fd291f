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
    let parts = CheckpointParts(try file.tensors(on: run.device), path: url.path)
    try parts.requireAll("G", as: objective.generator.parameters)
    try parts.requireShapes("D", as: objective.critic.parameters)
    try parts.requireAll("extra", as: objective.extraState)
    var restored = objective
    try restored.restore(
      generator: StateDictionary(parts["G"], origin: url.path), critic: StateDictionary(parts["D"], origin: url.path))
    for (name, _) in run.optimizers {
      try parts.requireMoments(
        "optim_\(name)", of: name == "D" ? restored.critic.parameters : restored.generator.parameters)
    }
    restored.extraState = parts["extra"]
    objective = restored
    for (name, count) in stepCounts { run.optimizers[name]?.restore(stepCount: count, state: parts["optim_\(name)"]) }
    run.random.position = position
    self.step = step
  }
}

/// The tensors of a checkpoint, `PART.NAME`, checked against what they are to replace: kernels trust their shapes.
private struct CheckpointParts {
  private let parts: [String: [String: Tensor]]
  private let path: String

  init(_ tensors: [String: Tensor], path: String) {
    var parts: [String: [String: Tensor]] = [:]
    for (name, tensor) in tensors {
      guard let dot = name.firstIndex(of: ".") else { continue }
      parts[String(name[..<dot]), default: [:]][String(name[name.index(after: dot)...])] = tensor
    }
    (self.parts, self.path) = (parts, path)
  }

  subscript(part: String) -> [String: Tensor] { parts[part] ?? [:] }

  /// Refuses tensors of other shapes than those of the same names in `wanted`.
  func requireShapes(_ part: String, as wanted: [String: Tensor]) throws {
    for (name, tensor) in self[part].sorted(by: { $0.key < $1.key }) {
      guard let shape = wanted[name]?.shape, shape != tensor.shape else { continue }
      throw FileError(path, "\(part).\(name) has the shape \(tensor.shape), not \(shape): it is another run's")
    }
  }

  /// Refuses all but the names and shapes of `wanted`.
  func requireAll(_ part: String, as wanted: [String: Tensor]) throws {
    for name in wanted.keys.sorted() where self[part][name] == nil {
      throw FileError(path, "has no tensor named \(part).\(name): it is another run's")
    }
    for name in self[part].keys.sorted() where wanted[name] == nil {
      throw FileError(path, "has the unexpected tensor \(part).\(name): it is another run's")
    }
    try requireShapes(part, as: wanted)
  }

  /// Refuses moments but of the parameters, in pairs, each of its parameter's shape.
  func requireMoments(_ part: String, of parameters: [String: Tensor]) throws {
    let found = self[part]
    for (name, tensor) in found.sorted(by: { $0.key < $1.key }) {
      let base = String(name.dropLast(2))
      guard name.hasSuffix(".m") || name.hasSuffix(".v"), let parameter = parameters[base] else {
        throw FileError(path, "has the unexpected tensor \(part).\(name): it is another run's")
      }
      guard tensor.shape == parameter.shape else {
        throw FileError(
          path, "\(part).\(name) has the shape \(tensor.shape), not \(parameter.shape): it is another run's")
      }
      let other = base + (name.hasSuffix(".m") ? ".v" : ".m")
      guard found[other] != nil else { throw FileError(path, "has no tensor named \(part).\(other)") }
    }
  }
}
