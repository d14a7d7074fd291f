import Kernels
import Pictures

extension Trainer {
  /// The memory that training takes on a device, in bytes: what one face a slice takes, which is the least, and what whole
  /// batches take. From dry runs of steps with one face and with two: the rest of a batch adds up.
  /// - Throws: `RecipeError` when the recipe holds what cannot be.
  public static func plannedByteCounts(_ recipe: TrainingRecipe) throws -> (least: Double, whole: Double) {
    func peak(batch: Int) throws -> Double {
      var recipe = recipe
      (recipe.batch, recipe.criticSteps) = (batch, 1)
      let face = Image(
        width: recipe.imageSize, height: recipe.imageSize, channels: 3,
        bytes: [UInt8](repeating: 0, count: 3 * recipe.imageSize * recipe.imageSize))
      let faces = FaceSet(
        images: [face, face], attributes: recipe.attributes,
        labels: [[Float]](repeating: recipe.attributes.map { _ in 0 }, count: 2))
      let device = PlanningDevice()
      let trainer = try Trainer(recipe, faces: faces, device: device)
      _ = try trainer.trainStep(reporting: false)
      return Double(device.memory.peak)
    }
    let (one, two) = (try peak(batch: 1), try peak(batch: 2))
    return (one, one + (two - one) * Double(recipe.batch - 1))
  }
}
