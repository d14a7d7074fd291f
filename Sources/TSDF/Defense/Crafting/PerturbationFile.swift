import Foundation
import Kernels

extension Crafter {
  /// The perturbation with everything that its making depended on.
  /// - Throws: `FileError` where the file cannot be written, and where the perturbation holds what is no number: then it is not.
  public func write(to url: URL) throws {
    guard try perturbation.values().allSatisfy(\.isFinite) else {
      throw FileError(url.path, "is not written: crafting came to values that are no numbers")
    }
    let metadata = try metadata(kind: "perturbation").merging(["weak_share": "\(weakShare())"]) { $1 }
    try Safetensors.write(["perturbation": perturbation], metadata: metadata, to: url)
  }
}

/// The perturbation of a file that `tsdf craft` wrote, [1, 3, size, size], its budget in units of [-1, 1], and the recipe it
/// was made by where the file has one.
/// - Throws: `FileError` when the file is something else, or its budget none.
public func loadPerturbation(_ url: URL, on device: any Device) throws -> (
  perturbation: Tensor, epsilon: Float, recipe: CraftRecipe?
) {
  let file = try Safetensors(contentsOf: url)
  guard let shape = file.shape(of: "perturbation"), shape.count == 4, shape[0] == 1, shape[1] == 3,
    shape[2] == shape[3], shape[2] > 0, let text = file.metadata["epsilon"]
  else { throw FileError(url.path, "is not a perturbation that tsdf craft wrote") }
  guard let epsilon = Float(text), epsilon > 0, epsilon <= 1 else {
    throw FileError(url.path, "has the epsilon \(text); it must be above 0 and at most 1")
  }
  let recipe = try file.metadata["recipe"].map { try CraftRecipe(json: Data($0.utf8), from: url) }
  let perturbation = try file.tensor("perturbation", on: device)
  guard try perturbation.values().allSatisfy(\.isFinite) else {
    throw FileError(url.path, "holds values that are no numbers")
  }
  return (perturbation, epsilon, recipe)
}
