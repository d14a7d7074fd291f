import Kernels
import Pictures

/// What objectives take from a run: data, random numbers, optimisers.
final class TrainingRun {
  let recipe: TrainingRecipe
  let data: TrainingData
  let device: any Device
  let slicer: BatchSlicer
  var random: RandomStream
  let optimizers: [String: Adam]
  private let augmentation: Augmentation?

  /// Who works on each batch besides; nil for nobody.
  let group: (any ReductionGroup)?

  init(_ recipe: TrainingRecipe, data: TrainingData, group: (any ReductionGroup)?, device: any Device) throws {
    (self.recipe, self.data, self.device, self.group) = (recipe, data, device, group)
    let memberCount = group?.count ?? 1
    guard recipe.batch >= memberCount else {
      throw KernelsError.usage(
        "a batch of \(recipe.batch) does not go round \(memberCount) devices: give a larger --batch")
    }
    slicer = BatchSlicer(device: device, sliceLength: recipe.sliceLength, group: group)
    random = RandomStream(seed: recipe.seed &+ 2)
    optimizers = Dictionary(
      uniqueKeysWithValues: ["G", "D", "M"].map {
        ($0, Adam(learningRate: recipe.learningRate, beta1: recipe.beta1, beta2: recipe.beta2))
      })
    augmentation = try Augmentation(recipe.augment ?? [])
  }

  var faces: FaceSet { data.faces }

  /// What tells these faces from others.
  private(set) lazy var dataDigest = data.faces.digest + (data.originals?.digest ?? "")

  /// One step of a network's parameters against a loss that is a mean over a range of the batch.
  /// - Parameters:
  ///   - leaves: the parameters, as leaves that the loss was computed from.
  ///   - optimizer: G, D, or M for HiSD's mappers.
  /// - Returns: what the loss reports.
  func update(
    _ leaves: [(optimizer: String, leaves: [String: Tensor])],
    _ loss: (Range<Int>) throws -> TrainingLoss
  ) throws -> [LossPart] {
    // In the same order at all members.
    let all = leaves.sorted { $0.optimizer < $1.optimizer }.flatMap { group in
      group.leaves.keys.sorted().map { (group.optimizer, $0, group.leaves[$0]!) }
    }
    var names: [String] = []
    let (found, reported) = try slicer.gradients(count: recipe.batch, withRespectTo: all.map(\.2)) { range in
      let made = try loss(range)
      names = made.parts.map(\.name)
      return (made.total, made.parts.map(\.value))
    }
    for (name, optimizer) in optimizers {
      let steps = zip(all, found).filter { $0.0.0 == name }.map { ($0.0.1, $0.0.2, $0.1) }
      if !steps.isEmpty { try optimizer.step(steps) }
    }
    return zip(names, reported).map { ($0, $1) }
  }

  /// Random faces, clean ones by their share.
  func drawFaces(_ count: Int) -> [Int] {
    (0..<count).map { _ in
      drawsClean()
        ? data.collectedCount + random.integer(below: faces.count - data.collectedCount)
        : random.integer(below: data.collectedCount)
    }
  }

  /// The same of those whose labels meet a condition; nil where none does.
  func drawFaces(_ count: Int, where condition: ([Float]) -> Bool) -> [Int]? {
    let all = faces.labels.indices.filter { condition(faces.labels[$0]) }
    let first = all.firstIndex { $0 >= data.collectedCount } ?? all.endIndex
    let (collected, clean) = (all[..<first], all[first...])
    guard !all.isEmpty else { return nil }
    return (0..<count).map { _ in
      let chosen = collected.isEmpty || (!clean.isEmpty && drawsClean()) ? clean : collected
      return chosen[chosen.startIndex + random.integer(below: chosen.count)]
    }
  }

  private func drawsClean() -> Bool { data.cleanShare > 0 && random.unit() < data.cleanShare }

  /// The faces of a batch, some mirrored, and augmented where the recipe says so.
  func images(_ indices: [Int]) throws -> Tensor {
    let batch = try faces.batch(indices, mirrored: drawMirrored(indices.count), on: device)
    return try augmentation.map { try $0(batch, random: &random) } ?? batch
  }

  /// Collected faces, augmented likewise, and their originals, mirrored alike.
  func pairs(_ indices: [Int], _ originals: FaceSet) throws -> (collected: Tensor, originals: Tensor) {
    let mirrored = drawMirrored(indices.count)
    let batch = try faces.batch(indices, mirrored: mirrored, on: device)
    return (
      try augmentation.map { try $0(batch, random: &random) } ?? batch,
      try originals.batch(indices, mirrored: mirrored, on: device)
    )
  }

  private func drawMirrored(_ count: Int) -> [Bool] { (0..<count).map { _ in random.integer(below: 2) == 1 } }
}
