import Foundation
import Kernels

/// How a StarGAN is trained. The defaults of the losses are the authors'.
public struct StarGANRecipe: Codable, Equatable, Sendable {
  public var attributes: [String] = []
  public var imageSize = 128
  public var width = 64
  public var blocks = 6
  public var discriminatorWidth = 64
  public var discriminatorLayers = 6
  public var batch = 16
  /// Generator steps.
  public var steps = 200_000
  public var criticSteps = 5
  public var learningRate: Float = 1e-4
  /// Over the last this many generator steps the learning rate falls linearly to 0.
  public var decaySteps = 100_000
  public var classificationWeight: Float = 1
  public var reconstructionWeight: Float = 10
  public var penaltyWeight: Float = 10
  public var seed: UInt64 = 1
  public var keptPrecision = KeptPrecision.single
  /// The last this many faces of the list are never trained on.
  public var holdOut = 480

  public init() {}
}

/// The losses of one generator step, averaged over its batch.
public struct StarGANLosses: Sendable {
  public var critic: Float, penalty: Float, criticClassification: Float
  public var generator: Float, reconstruction: Float, classification: Float
}

/// Trains StarGAN from scratch with all its losses: WGAN-GP (Gulrajani et al., 2017), attribute classification, cycle
/// reconstruction. Its whole state goes into a checkpoint, so that a resumed run continues bit for bit.
public final class StarGANTrainer {
  public let recipe: StarGANRecipe
  public private(set) var generator: StarGANGenerator
  public private(set) var discriminator: StarGANDiscriminator
  /// Generator steps done.
  public private(set) var step = 0

  private let faces: FaceSet
  private let device: any Device
  private let generatorOptimizer: Adam
  private let discriminatorOptimizer: Adam
  private let slicer: BatchSlicer
  private var random: RandomStream

  /// A fresh run.
  public init(_ recipe: StarGANRecipe, faces: FaceSet, device: any Device) throws {
    (self.recipe, self.faces, self.device) = (recipe, faces, device)
    slicer = BatchSlicer(device: device)
    generator = try StarGANGenerator(
      .init(width: recipe.width, attributeCount: recipe.attributes.count, blocks: recipe.blocks),
      attributes: recipe.attributes, imageSize: recipe.imageSize, seed: recipe.seed, device: device)
    discriminator = try StarGANDiscriminator(
      .init(
        width: recipe.discriminatorWidth, layers: recipe.discriminatorLayers,
        attributeCount: recipe.attributes.count, imageSize: recipe.imageSize),
      seed: recipe.seed &+ 1, device: device)
    generatorOptimizer = Adam(learningRate: recipe.learningRate, beta1: 0.5, beta2: 0.999)
    discriminatorOptimizer = Adam(learningRate: recipe.learningRate, beta1: 0.5, beta2: 0.999)
    random = RandomStream(seed: recipe.seed &+ 2)
  }

  /// One generator step with its critic steps.
  /// - Parameter reporting: whether to read the losses back (which waits for the device).
  public func trainStep(reporting: Bool = true) throws -> StarGANLosses? {
    let remaining = recipe.steps - step
    let rate = recipe.learningRate * min(1, Float(remaining) / Float(max(1, recipe.decaySteps)))
    generatorOptimizer.learningRate = rate
    discriminatorOptimizer.learningRate = rate
    var parts: [Tensor] = []
    try Autograd.keeping(recipe.keptPrecision) {
      for _ in 0..<recipe.criticSteps { parts = try criticStep() }
      parts += try generatorStep()
    }
    step += 1
    guard reporting else { return nil }
    let values = try parts.map { try $0.item() }
    return StarGANLosses(
      critic: values[0], penalty: values[1], criticClassification: values[2], generator: values[3],
      reconstruction: values[4], classification: values[5])
  }

  private func drawBatch() throws -> (images: Tensor, labels: Tensor, targets: Tensor) {
    let indices = (0..<recipe.batch).map { _ in random.integer(below: faces.count) }
    let mirrored = indices.map { _ in random.integer(below: 2) == 1 }
    // The target attributes are those of other faces, so that impossible combinations do not occur.
    let others = random.permutation(recipe.batch).map { indices[$0] }
    return (
      try faces.batch(indices, mirrored: mirrored, on: device), try faces.labelBatch(indices, on: device),
      try faces.labelBatch(others, on: device)
    )
  }

  private func criticStep() throws -> [Tensor] {
    let (images, labels, targets) = try drawBatch()
    let fake = try slicer.map(count: recipe.batch) {
      [try generator(images.slice($0), condition: targets.slice($0)).image]
    }[0]
    let leaves = discriminator.parameters.mapValues { $0.requiringGradient() }
    let critic = discriminator.replacing(leaves)

    let alpha = try random.uniform([recipe.batch, 1, 1, 1], device: device)
    let mixed = try alpha * images + (1 - alpha) * fake
    return try update(leaves, discriminatorOptimizer) { range in
      let (realScore, realLogits) = try critic(images.slice(range))
      let wasserstein = try critic(fake.slice(range)).realness.mean() - realScore.mean()
      let classification = try classificationLoss(realLogits, labels.slice(range))

      // The slope of the critic on straight lines between real and fake must be 1.
      let between = try mixed.slice(range).requiringGradient()
      let score = try critic(between).realness
      let slope = try gradients(of: score.sum(), withRespectTo: [between], createGraph: true)[0]
      let norm = try slope.reshaped([range.count, -1]).squared().sum(axes: [1]).sqrt()
      let penalty = try (norm - 1).squared().mean()
      let loss = try wasserstein + classification * recipe.classificationWeight + penalty * recipe.penaltyWeight
      return (loss, [wasserstein, penalty, classification])
    }
  }

  private func generatorStep() throws -> [Tensor] {
    let (images, labels, targets) = try drawBatch()
    let leaves = generator.parameters.mapValues { $0.requiringGradient() }
    let trained = generator.replacing(leaves)
    return try update(leaves, generatorOptimizer) { range in
      let (real, wanted) = (try images.slice(range), try targets.slice(range))
      let fake = try trained(real, condition: wanted).image
      let (score, logits) = try discriminator(fake)
      let adversarial = try -score.mean()
      let classification = try classificationLoss(logits, wanted)
      let reconstruction = try trained(fake, condition: labels.slice(range)).image.meanAbsoluteError(to: real)
      let loss =
        try adversarial + reconstruction * recipe.reconstructionWeight + classification * recipe.classificationWeight
      return (loss, [adversarial, reconstruction, classification])
    }
  }

  /// Binary cross-entropy summed over the attributes, averaged over the images.
  private func classificationLoss(_ logits: Tensor, _ labels: Tensor) throws -> Tensor {
    try logits.binaryCrossEntropy(withTarget: labels) * Float(recipe.attributes.count)
  }

  /// One step against a loss that is a mean over a range of the batch; what it reports.
  private func update(
    _ leaves: [String: Tensor], _ optimizer: Adam, _ loss: (Range<Int>) throws -> (loss: Tensor, reported: [Tensor])
  ) throws -> [Tensor] {
    let names = leaves.keys.sorted()
    let (found, reported) = try slicer.gradients(
      count: recipe.batch, withRespectTo: names.map { leaves[$0]! }, of: loss)
    try optimizer.step(zip(names, found).map { ($0, leaves[$0]!, $1) })
    return reported
  }

  // MARK: Checkpoints

  /// Everything that a resumed run needs, written atomically.
  public func writeCheckpoint(to url: URL) throws {
    var tensors: [String: Tensor] = [:]
    func add(_ prefix: String, _ values: [String: Tensor]) {
      for (name, value) in values { tensors["\(prefix).\(name)"] = value }
    }
    add("G", generator.parameters)
    add("D", discriminator.parameters)
    add("optim_G", generatorOptimizer.state)
    add("optim_D", discriminatorOptimizer.state)
    try Safetensors.write(
      tensors,
      metadata: [
        "kind": "stargan-training", "tsdf": tsdfVersion, "step": "\(step)", "random_position": "\(random.position)",
        "optim_G_steps": "\(generatorOptimizer.stepCount)", "optim_D_steps": "\(discriminatorOptimizer.stepCount)",
        "recipe": try canonicalJSON(recipe),
      ], to: url)
  }

  /// Continues from a checkpoint of the same recipe; only the number of steps, and of those of the falling learning
  /// rate, may differ, so that a run can be made longer.
  /// - Throws: `FileError` when the file is another recipe's or incomplete.
  public func restore(from url: URL) throws {
    let file = try Safetensors(contentsOf: url)
    guard file.metadata["kind"] == "stargan-training", let text = file.metadata["recipe"],
      let saved = try? JSONDecoder().decode(StarGANRecipe.self, from: Data(text.utf8)),
      let step = file.metadata["step"].flatMap({ Int($0) }),
      let position = file.metadata["random_position"].flatMap({ UInt64($0) }),
      let generatorSteps = file.metadata["optim_G_steps"].flatMap({ Int($0) }),
      let discriminatorSteps = file.metadata["optim_D_steps"].flatMap({ Int($0) })
    else { throw FileError(url.path, "is not a checkpoint of tsdf train stargan") }
    var comparable = saved
    (comparable.steps, comparable.decaySteps) = (recipe.steps, recipe.decaySteps)
    guard comparable == recipe else {
      throw FileError(url.path, "was made with other options; give the same ones, or another --output")
    }
    let all = try file.tensors(on: device)
    func part(_ prefix: String) -> [String: Tensor] {
      Dictionary(
        uniqueKeysWithValues: all.filter { $0.key.hasPrefix(prefix + ".") }
          .map { (String($0.key.dropFirst(prefix.count + 1)), $0.value) })
    }
    generator = try StarGANGenerator(
      StateDictionary(part("G"), origin: url.path), attributes: recipe.attributes, imageSize: recipe.imageSize)
    discriminator = try StarGANDiscriminator(StateDictionary(part("D"), origin: url.path))
    generatorOptimizer.restore(stepCount: generatorSteps, state: part("optim_G"))
    discriminatorOptimizer.restore(stepCount: discriminatorSteps, state: part("optim_D"))
    random.position = position
    self.step = step
  }

  /// The generator alone, under official names, with what is needed to use and to judge it.
  public func writeGenerator(to url: URL) throws {
    try Safetensors.write(
      generator.parameters,
      metadata: [
        "kind": "stargan", "tsdf": tsdfVersion, "attributes": recipe.attributes.joined(separator: ","),
        "image_size": "\(recipe.imageSize)", "step": "\(step)",
        "recipe": try canonicalJSON(recipe),
      ], to: url)
  }
}
