import Kernels
import Networks
import Pictures

/// What methods of crafting take from a run: the perturbation, the models, random numbers, and what detectors find in faces.
final class CraftingRun {
  let recipe: CraftRecipe
  let faces: FaceSet
  let generators: [EmbeddedGenerator]
  let detectors: [any FaceDetector]
  let device: any Device
  let slicer: BatchSlicer
  let diversity: InputDiversity
  let compression: JPEGModel
  var random: RandomStream

  /// The perturbation so far, [1, 3, size, size], within +-epsilon.
  var perturbation: Tensor
  /// Batches done, over all passes.
  var step = 0

  /// What each detector finds in each face, looked up once.
  private var truths: [[DetectorTruth?]]

  init(
    _ recipe: CraftRecipe, faces: FaceSet, generators: [any Generator], detectors: [any FaceDetector],
    group: (any ReductionGroup)?, device: any Device
  ) throws {
    (self.recipe, self.faces, self.detectors, self.device) = (recipe, faces, detectors, device)
    self.generators = generators.map { EmbeddedGenerator($0) }
    slicer = BatchSlicer(device: device, group: group)
    diversity = InputDiversity(canvas: recipe.diversityCanvas / 256, probability: recipe.diversityProbability)
    compression = try JPEGModel(quality: recipe.compressionQuality, device: device)
    truths = detectors.map { _ in [DetectorTruth?](repeating: nil, count: faces.count) }
    random = RandomStream(seed: recipe.seed)
    perturbation = try recipe.method.type.start(recipe, random: &random, device: device)
  }

  var batchesAPass: Int { (faces.count + recipe.batch - 1) / recipe.batch }

  /// Batches in all.
  var stepCount: Int { recipe.method.type.stages * recipe.passes * batchesAPass }

  /// The batch of the current step: each pass goes through the faces in an order of its own.
  func batch() throws -> CraftingBatch {
    let pass = step / batchesAPass
    var order = RandomStream(seed: recipe.seed &+ 1, position: UInt64(pass) << 32)
    let all = order.permutation(faces.count)
    let first = step % batchesAPass * recipe.batch
    let indices = Array(all[first..<min(first + recipe.batch, all.count)])
    return CraftingBatch(images: try faces.batch(indices, on: device), indices: indices)
  }

  /// Zeros of the perturbation's shape: a velocity to begin with.
  func zeros() throws -> Tensor { try Tensor(repeating: 0, shape: perturbation.shape, device: device) }

  /// A projected sign step of the perturbation: W <- clip(W - stepSize * sign(v)), v <- scale * g + momentum * v.
  func move(
    _ gradient: Tensor, scale: Tensor? = nil, velocity: Tensor, stepSize: Float, momentum: Float
  ) throws {
    let next = try perturbation.copy()
    try next.takeSignStep(
      gradient: gradient, scale: scale, centre: zeros(), velocity: velocity, stepSize: stepSize, momentum: momentum,
      bound: recipe.epsilon)
    perturbation = next
  }

  /// A random edit of each face of a batch.
  func drawCondition(for generator: EmbeddedGenerator, _ batch: CraftingBatch) throws -> Condition {
    let labels = batch.indices.map { faces.labels(of: $0, named: generator.generator.attributes) }
    return try generator.conditions(labels, random: &random, device: device)
  }

  /// What each detector finds in a batch of clean faces.
  func detectorTargets(_ batch: CraftingBatch) throws -> [DetectorTargets] {
    try detectors.enumerated().map { number, detector in
      let missing = batch.indices.enumerated().filter { truths[number][$0.element] == nil }
      let found = try slicer.sharedOut(missing.count) {
        let row = missing[$0].offset
        return try DetectorTruth.each(detector, of: batch.images.sliced(axis: 0, row..<row + 1), within: [nil])[0]
          .values
      }
      for (face, values) in zip(missing, found) { truths[number][face.element] = try DetectorTruth(values) }
      return try DetectorTargets(
        detector, batch.indices.map { truths[number][$0]! }, width: recipe.size, device: device)
    }
  }
}
