import Foundation
import Kernels

/// Makes a universal perturbation, batch by batch. Its whole state goes into a checkpoint.
public final class Crafter {
  public let recipe: CraftRecipe
  /// The perturbation so far, [1, 3, size, size], within +-epsilon.
  public private(set) var perturbation: Tensor
  /// Batches done, over all passes.
  public private(set) var step = 0

  private let faces: FaceSet
  private let generators: [EmbeddedGenerator]
  private let detectors: [any FaceDetector]
  private let device: any Device
  private let slicer: BatchSlicer
  private let diversity: InputDiversity
  private let compression: JPEGModel
  private var random: RandomStream
  private var velocity: Tensor
  /// Running averages of the generators' end-to-end losses, [generators] on the device: they set the dynamic weights.
  private var averageLosses: Tensor
  /// Stage 1's perturbation, from which stage 2 separates intensities.
  private var stageOne: Tensor?
  /// What each detector finds in each face, looked up once.
  private var truths: [[DetectorTruth?]]

  /// - Throws: `KernelsError.usage` when the method lacks what it works against.
  public init(
    _ recipe: CraftRecipe, faces: FaceSet, generators: [any Generator], detectors: [any FaceDetector],
    device: any Device
  ) throws {
    (self.recipe, self.faces, self.device) = (recipe, faces, device)
    self.generators = generators.map { EmbeddedGenerator($0) }
    self.detectors = detectors
    slicer = BatchSlicer(device: device)
    if recipe.method.needsGenerator, generators.isEmpty {
      throw KernelsError.usage("--method \(recipe.method.rawValue) needs a generator")
    }
    if recipe.method.needsDetector, detectors.isEmpty {
      throw KernelsError.usage("--method \(recipe.method.rawValue) needs a detector")
    }
    if recipe.method == .joint, generators.isEmpty && detectors.isEmpty {
      throw KernelsError.usage("--method joint needs a generator or a detector")
    }
    diversity = InputDiversity(canvas: recipe.diversityCanvas / 256, probability: recipe.diversityProbability)
    compression = try JPEGModel(quality: recipe.compressionQuality, device: device)
    truths = detectors.map { _ in [DetectorTruth?](repeating: nil, count: faces.count) }
    random = RandomStream(seed: recipe.seed)
    let shape = [1, 3, recipe.size, recipe.size]
    // What adapts to each image by itself starts from nothing.
    perturbation =
      recipe.method == .pgd
      ? try Tensor(repeating: 0, shape: shape, device: device)
      : try random.uniform(shape, in: -recipe.epsilon..<recipe.epsilon, device: device)
    velocity = try Tensor(repeating: 0, shape: shape, device: device)
    averageLosses = try Tensor(repeating: 0, shape: [max(1, generators.count)], device: device)
  }

  private var batchesAPass: Int { (faces.count + recipe.batch - 1) / recipe.batch }

  /// Batches in all; the two stages of tsdf have all passes each.
  public var stepCount: Int {
    switch recipe.method {
    case .noise, .pgd: return 0
    case .tsdf: return 2 * recipe.passes * batchesAPass
    default: return recipe.passes * batchesAPass
    }
  }

  /// One batch.
  public func craftStep() throws { try Autograd.keeping(recipe.keptPrecision, nextBatch) }

  private func nextBatch() throws {
    let pass = step / batchesAPass
    var order = RandomStream(seed: recipe.seed &+ 1, position: UInt64(pass) << 32)
    let all = order.permutation(faces.count)
    let first = step % batchesAPass * recipe.batch
    let indices = Array(all[first..<min(first + recipe.batch, all.count)])
    let images = try faces.batch(indices, on: device)
    switch recipe.method {
    case .noise, .pgd: break
    case .cmua:
      let targets = try generators.map { ($0, try draw(for: $0, indices)) }
      perturbation = try Rivals.cmua(perturbation, images, targets, recipe, slicer: slicer)
    case .found: try found(images, indices)
    case .interruption: try interrupt(images, indices, poisoning: false)
    case .tsdf:
      let isSecond = step >= recipe.passes * batchesAPass
      if isSecond && stageOne == nil { stageOne = perturbation }
      try interrupt(images, indices, poisoning: isSecond)
    case .joint, .poison: try joint(images, indices)
    }
    step += 1
  }

  // MARK: The paper's stages

  /// One batch of stage 1, or of stage 2 with its poisoning block.
  private func interrupt(_ images: Tensor, _ indices: [Int], poisoning: Bool) throws {
    let targets = try targets(images, indices)
    for _ in 0..<recipe.featureSteps {
      try move(featureGradient(images, targets, enhancement: recipe.enhancementWeight), momentum: nil)
    }
    if poisoning { try poison(images, indices) }
    try endToEndStep(images, targets, outputShare: recipe.outputShare, momentum: recipe.momentum)
  }

  /// FOUND: over the first half of the batches the ensemble of features alone, then that of the outputs alone.
  private func found(_ images: Tensor, _ indices: [Int]) throws {
    let targets = try targets(images, indices)
    if 2 * step < stepCount {
      for _ in 0..<recipe.featureSteps { try move(featureGradient(images, targets, enhancement: 0), momentum: nil) }
    } else {
      try endToEndStep(images, targets, outputShare: 1, momentum: nil)
    }
  }

  /// What the generators make of a batch's clean images under random edits.
  private struct InterruptionTargets {
    var conditions: [Condition]
    var clean: [GeneratorOutput]
    /// The clean features on one grid.
    var map: Tensor
  }

  private func targets(_ images: Tensor, _ indices: [Int]) throws -> InterruptionTargets {
    let conditions = try generators.map { try draw(for: $0, indices) }
    let clean = try zip(generators, conditions).map { try $0.plain(images, condition: $1, slicer) }
    return InterruptionTargets(
      conditions: conditions, clean: clean, map: try Interruption.map(clean.map(\.feature)))
  }

  /// The gradient of a feature step.
  private func featureGradient(_ images: Tensor, _ targets: InterruptionTargets, enhancement: Float) throws -> Tensor {
    let leaf = perturbation.requiringGradient()
    let input = try diversity(images + leaf, random: &random)
    // In slices, the enhancement's attention is among the samples of a slice.
    return try slicer.gradient(through: input, to: leaf) { images, range in
      let features = try zip(generators, targets.conditions).map { try $0(images, condition: $1.slice(range)).feature }
      let loss = try Interruption.featureLoss(
        clean: targets.map.slice(range), adversarial: Interruption.map(features), enhancement: enhancement, recipe)
      return (loss, [])
    }.gradient
  }

  /// One step against the weighted losses of all generators, and new weights.
  private func endToEndStep(
    _ images: Tensor, _ targets: InterruptionTargets, outputShare: Float, momentum: Float?
  ) throws {
    let leaf = perturbation.requiringGradient()
    let input = try diversity(images + leaf, random: &random)
    let weights = try (averageLosses / recipe.weightTemperature).softmax(axis: 0)
    let (gradient, losses) = try slicer.gradient(through: input, to: leaf) { images, range in
      let losses = try generators.indices.map { i in
        let made = try generators[i](images, condition: targets.conditions[i].slice(range))
        return try Interruption.endToEndLoss(
          clean: targets.clean[i].slice(range), adversarial: made, outputShare: outputShare
        ).reshaped([1])
      }
      let joined = try Tensor.concatenated(losses, axis: 0)
      return (try (joined * weights).sum(), [joined])
    }
    try move(gradient, momentum: momentum)
    averageLosses = try averageLosses * recipe.weightMemory + losses[0] * (1 - recipe.weightMemory)
  }

  /// W <- clip(W - alpha * sign(g)), g over its mean magnitude, with momentum where there is one.
  private func move(_ gradient: Tensor, momentum: Float?) throws {
    let scale = try (gradient.abs().mean() + 1e-12).reciprocal().reshaped([1])
    let zero = try Tensor(repeating: 0, shape: perturbation.shape, device: device)
    let next = try perturbation.scaled(by: 1)
    try next.signStep(
      gradient: gradient, scale: scale, centre: zero,
      velocity: momentum == nil ? Tensor(repeating: 0, shape: perturbation.shape, device: device) : velocity,
      stepSize: recipe.stepSize, momentum: momentum ?? 0, bound: recipe.epsilon)
    perturbation = next
  }

  /// The poisoning block: Adam with cosine annealing on a masked addition to W0; W = clip(W0 + the best one).
  private func poison(_ images: Tensor, _ indices: [Int]) throws {
    let base = recipe.usesMask ? stageOne! : perturbation
    let mask =
      recipe.usesMask
      ? try intensitySeparationMask(base, tau: recipe.tau, beta: recipe.beta)
      : try Tensor(repeating: 1, shape: perturbation.shape, device: device)
    var delta = try random.normal(perturbation.shape, device: device) * 0.001 * mask
    var best: (loss: Tensor, delta: Tensor)?
    let optimizer = Adam(learningRate: recipe.poisonRate)
    let side = recipe.size
    let known = try detectors.indices.map { try targets($0, images, indices) }
    let clean = try detectors.map { detector in
      try slicer.map(count: indices.count) { try features(detector.heads(images.slice($0))) }
    }
    let noise = try clean.map { try $0.map { try random.normal($0.shape, device: device) } }
    for step in 0..<recipe.poisonSteps {
      optimizer.learningRate = cosineAnnealedRate(recipe.poisonRate, step: step, of: recipe.poisonSteps)
      let leaf = delta.requiringGradient()
      let input = try images + (perturbation + leaf).clamped(to: -recipe.epsilon...recipe.epsilon)
      let (gradient, outputs) = try slicer.gradient(through: input, to: leaf) { images, range in
        var total: Tensor?
        var output: Tensor?
        for (index, detector) in detectors.enumerated() {
          let heads = try detector.heads(images)
          let outputLoss = try Poisoning.outputLoss(
            detector, heads, known[index].slice(range), height: side, width: side, weight: recipe.outputLossWeight,
            invitation: recipe.invitationWeight)
          output = try output.map { try $0 + outputLoss } ?? outputLoss
          var loss = outputLoss
          if let featureLoss = try Poisoning.featureLoss(
            features(heads), clean: clean[index].map { try $0.slice(range) }, found: known[index].hasFace,
            noise: noise[index].map { try $0.slice(range) }, strength: recipe.featureNoise)
          {
            loss = try loss + featureLoss
          }
          total = try total.map { try $0 + loss } ?? loss
        }
        return (total!, [output!])
      }
      // The best delta so far is chosen on the device: no read-back in the loop.
      let reached = try outputs[0].reshaped([1])
      if let previous = best {
        let better = try previous.loss.greater(than: reached)
        best = (
          try reached * better + previous.loss * (1 - better), try delta * better + previous.delta * (1 - better)
        )
      } else {
        best = (reached, delta)
      }
      let norm = try gradient.squared().sum().sqrt()
      let clip = try (norm + 1e-6).reciprocal().clamped(to: 0...1).reshaped([1])
      let next = try delta.scaled(by: 1)
      try optimizer.step([("delta", next, gradient)], scale: clip)
      delta = try (next * mask).clamped(to: -recipe.poisonBound...recipe.poisonBound)
    }
    perturbation = try (perturbation + best!.delta).clamped(to: -recipe.epsilon...recipe.epsilon)
  }

  /// The feature levels that poisoning compares, projected where that is asked for.
  private func features(_ heads: DetectorHeads) throws -> [Tensor] {
    let levels = recipe.featureLevels == .all ? heads.features : heads.features.suffix(1)
    guard recipe.featureProjection > 0 else { return levels }
    return try levels.map { level in
      // The same matrix for clean and protected images, and in every call.
      var stream = RandomStream(seed: recipe.seed &+ 1000, position: UInt64(level.shape[1]))
      let matrix = try stream.normal([recipe.featureProjection, level.shape[1], 1, 1], device: device)
      return try level.convolved(with: matrix / Float(level.shape[1]).squareRoot())
        .resized(height: 64, width: 64)
    }
  }

  // MARK: Joint

  private func joint(_ images: Tensor, _ indices: [Int]) throws {
    var parts: [JointStep.Part] = []
    if recipe.method == .joint {
      for generator in generators {
        let condition = try draw(for: generator, indices)
        parts.append(
          .generator(generator, condition, try generator.plain(images, condition: condition, slicer).image))
      }
    }
    for (number, detector) in detectors.enumerated() {
      parts.append(.detector(detector, try targets(number, images, indices)))
    }
    let leaf = perturbation.requiringGradient()
    let plain = try images + leaf
    let gradient = try JointStep.gradient(
      parts, input: random.unit() < recipe.compressionProbability ? compression(plain) : plain, leaf: leaf,
      epsilon: recipe.epsilon, interruptionTarget: recipe.interruptionTarget,
      goal: recipe.detectorGoal, weights: recipe.weights, slicer: slicer)
    let zero = try Tensor(repeating: 0, shape: perturbation.shape, device: device)
    let next = try perturbation.scaled(by: 1)
    let rate = recipe.epsilon / 20 * (1 - Float(step) / Float(max(1, stepCount)))
    try next.signStep(
      gradient: gradient, centre: zero, velocity: velocity, stepSize: rate, momentum: recipe.jointMomentum,
      bound: recipe.epsilon)
    perturbation = next
  }

  /// A random edit of each face of a batch.
  private func draw(for generator: EmbeddedGenerator, _ indices: [Int]) throws -> Condition {
    let labels = indices.map { faces.labels(of: $0, named: generator.generator.attributes) }
    return try generator.conditions(labels, random: &random, device: device)
  }

  /// What a detector finds in a batch of clean faces.
  private func targets(_ number: Int, _ images: Tensor, _ indices: [Int]) throws -> DetectorTargets {
    for (row, index) in indices.enumerated() where truths[number][index] == nil {
      truths[number][index] = try DetectorTruth(detectors[number], image: images.sliced(axis: 0, row..<row + 1))
    }
    return try DetectorTargets(
      detectors[number], indices.map { truths[number][$0]! }, width: recipe.size, device: device)
  }

  // MARK: Files

  /// The perturbation with everything that its making depended on.
  public func write(to url: URL) throws {
    let metadata = try metadata(kind: "perturbation").merging(["weak_share": "\(weakShare())"]) { $1 }
    try Safetensors.write(["perturbation": perturbation], metadata: metadata, to: url)
  }

  /// The share of the perturbation's values that the intensity-separation mask leaves free to poison: below tau.
  public func weakShare() throws -> Float {
    let values = try perturbation.values()
    return Float(values.count { abs($0) < recipe.tau }) / Float(values.count)
  }

  /// The whole state.
  public func writeCheckpoint(to url: URL) throws {
    var tensors = ["perturbation": perturbation, "velocity": velocity, "average_losses": averageLosses]
    tensors["stage_one"] = stageOne
    var metadata = try metadata(kind: "craft-checkpoint")
    metadata["random_position"] = "\(random.position)"
    try Safetensors.write(tensors, metadata: metadata, to: url)
  }

  /// Continues from a checkpoint of the same recipe.
  public func restore(from url: URL) throws {
    let file = try Safetensors(contentsOf: url)
    guard file.metadata["kind"] == "craft-checkpoint", let text = file.metadata["recipe"],
      let saved = try? JSONDecoder().decode(CraftRecipe.self, from: Data(text.utf8)),
      let step = file.metadata["step"].flatMap({ Int($0) }),
      let position = file.metadata["random_position"].flatMap({ UInt64($0) })
    else { throw FileError(url.path, "is not a checkpoint of tsdf craft") }
    guard saved == recipe else {
      throw FileError(url.path, "was made with other options; give the same ones, or another --output")
    }
    perturbation = try file.tensor("perturbation", on: device)
    velocity = try file.tensor("velocity", on: device)
    averageLosses = try file.tensor("average_losses", on: device)
    stageOne = file.shape(of: "stage_one") == nil ? nil : try file.tensor("stage_one", on: device)
    random.position = position
    self.step = step
  }

  private func metadata(kind: String) throws -> [String: String] {
    return [
      "kind": kind, "tsdf": tsdfVersion, "epsilon": "\(recipe.epsilon)", "step": "\(step)", "seed": "\(recipe.seed)",
      "recipe": try canonicalJSON(recipe),
    ]
  }
}

/// The perturbation of a file that `tsdf craft` wrote, its budget, and the recipe it was made by where the file has one.
public func loadPerturbation(_ url: URL, on device: any Device) throws -> (
  perturbation: Tensor, epsilon: Float, recipe: CraftRecipe?
) {
  let file = try Safetensors(contentsOf: url)
  guard let shape = file.shape(of: "perturbation"), shape.count == 4, shape[0] == 1, shape[1] == 3,
    shape[2] == shape[3],
    let epsilon = file.metadata["epsilon"].flatMap({ Float($0) })
  else { throw FileError(url.path, "is not a perturbation that tsdf craft wrote") }
  let recipe = try file.metadata["recipe"].map { try CraftRecipe(json: Data($0.utf8), from: url) }
  return (try file.tensor("perturbation", on: device), epsilon, recipe)
}
