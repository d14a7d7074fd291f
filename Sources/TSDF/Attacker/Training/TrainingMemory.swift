import Foundation
import Kernels
import Pictures

extension Trainer {
  /// The memory that training takes on a device, in bytes: what one face a slice takes, which is the least, and what whole
  /// batches take. From dry runs of steps.
  /// - Parameter files: what a run with `retraining` goes on from.
  /// - Throws: `RecipeError` when the recipe holds what cannot be.
  package static func plannedByteCounts(_ recipe: TrainingRecipe, from files: TrainingStart.Files? = nil) throws -> (
    least: Double, whole: Double
  ) {
    func peak(batch: Int) throws -> Double {
      var recipe = recipe
      (recipe.batch, recipe.criticSteps, recipe.accumulate) = (batch, 1, nil)
      let device = PlanningDevice()
      let start = try files.map {
        try TrainingStart($0, named: recipe.model, on: device)
      }
      let side = try start?.imageSize ?? recipe.imageSize
      let face = Image(width: side, height: side, channels: 3, bytes: [UInt8](repeating: 0, count: 3 * side * side))
      let attributes = recipe.attributes.isEmpty ? start?.attributes ?? [] : recipe.attributes
      let faces = FaceSet(
        images: [face, face], attributes: attributes,
        labels: [[Float]](repeating: attributes.map { _ in 0 }, count: 2))
      // What is put on disk through codecs takes no device memory.
      recipe.augment = nil
      let trainer =
        try start.map {
          try Trainer(recipe, from: $0, data: TrainingData(faces, originals: faces), device: device)
        } ?? Trainer(recipe, faces: faces, originals: faces, device: device)
      trainer.warmUpStep += trainer.warmUpStepsLeft
      _ = try trainer.trainStep(reporting: false)
      return Double(device.memory.peak)
    }
    return (try peak(batch: 1), try peak(batch: recipe.sliceLength ?? recipe.batch))
  }
}
