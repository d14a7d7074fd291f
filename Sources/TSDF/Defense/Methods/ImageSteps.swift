import Kernels
import Networks

/// Projected sign steps that drive the generators' outputs away from those of the clean images, each image by itself.
/// - Returns: the images' own perturbations, within +-epsilon.
func imageSteps(
  _ images: Tensor, start: Tensor, _ generators: [(generator: EmbeddedGenerator, condition: Condition)],
  _ recipe: CraftRecipe, slicer: BatchSlicer
) throws -> Tensor {
  let clean = try generators.map { try $0.plain(images, condition: $1, slicer).image }
  let zero = try Tensor(repeating: 0, shape: images.shape, device: images.device)
  let delta = try start.copy()
  for _ in 0..<recipe.imageSteps {
    var total: Tensor?
    for (index, (generator, condition)) in generators.enumerated() {
      let leaf = delta.requiringGradient()
      let (gradient, _) = try slicer.gradient(through: (images + leaf).clamped(to: -1...1), to: leaf) {
        images, range in
        let edit = try generator(images, condition: condition.slice(range)).image
        return (try -edit.meanSquaredError(to: clean[index].slice(range)), [])
      }
      // Each generator's at unit magnitude: the one that breaks most easily would drown the others.
      let unit = try gradient.atUnitMagnitude()
      total = try total.map { try $0 + unit } ?? unit
    }
    guard let total else { break }
    try delta.takeSignStep(
      gradient: total, centre: zero, velocity: Tensor(repeating: 0, shape: images.shape, device: images.device),
      stepSize: recipe.imageStepSize, momentum: 0, bound: recipe.epsilon)
  }
  return delta
}
