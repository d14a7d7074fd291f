import Foundation
import Kernels

extension Crafter {
  /// The whole state, written atomically.
  public func writeCheckpoint(to url: URL) throws {
    var metadata = try metadata(kind: "craft-checkpoint")
    metadata["random_position"] = "\(run.random.position)"
    try Safetensors.write(
      method.state.merging(["perturbation": perturbation]) { $1 }, metadata: metadata, to: url)
  }

  /// Continues from a checkpoint of the same recipe.
  /// - Throws: `FileError` when the file is another recipe's, or does not hold what a checkpoint does.
  public func restore(from url: URL) throws {
    let file = try Safetensors(contentsOf: url)
    guard file.metadata["kind"] == "craft-checkpoint", let text = file.metadata["recipe"],
      let saved = try? CraftRecipe(json: Data(text.utf8), from: url),
      let step = file.metadata["step"].flatMap({ Int($0) }),
      let position = file.metadata["random_position"].flatMap({ UInt64($0) })
    else { throw FileError(url.path, "is not a checkpoint of tsdf craft") }
    guard saved == recipe else {
      throw FileError(url.path, "was made with other options; give the same ones, or another --output")
    }
    guard (0...stepCount).contains(step) else {
      throw FileError(url.path, "is at batch \(step) of \(stepCount); remove it to begin anew")
    }
    let shape = perturbation.shape
    func tensor(_ name: String, _ shape: Shape) throws -> Tensor {
      guard let found = file.shape(of: name) else {
        throw FileError(url.path, "has no tensor named \(name); remove it to begin anew")
      }
      guard found == shape else {
        throw FileError(url.path, "\(name) has the shape \(found), not \(shape); remove it to begin anew")
      }
      return try file.tensor(name, on: run.device)
    }
    var state = try Dictionary(
      uniqueKeysWithValues: method.state.map { ($0, try tensor($0, $1.shape)) })
    for name in type(of: method).laterState where file.shape(of: name) != nil {
      state[name] = try tensor(name, shape)
    }
    run.perturbation = try tensor("perturbation", shape)
    method.state = state
    run.random.position = position
    run.step = step
  }

  func metadata(kind: String) throws -> [String: String] {
    [
      "kind": kind, "tsdf": tsdfVersion, "epsilon": "\(recipe.epsilon)", "step": "\(step)", "seed": "\(recipe.seed)",
      "recipe": try canonicalJSON(recipe),
    ]
  }
}
