import Kernels
import Networks

/// A generator of attributes that WGAN-GP trains against a critic of realness and attributes.
protocol WassersteinGenerator: TrainableGenerator {
  associatedtype Critic: AttributeCritic

  static var defaults: TrainingRecipe { get }
  /// Whether the attribute loss is a sum over the attributes; else a mean.
  static var sumsAttributes: Bool { get }

  static func fresh(_ recipe: TrainingRecipe, device: any Device) throws -> Self
  static func critic(_ recipe: TrainingRecipe, device: any Device) throws -> Critic
  static func critic(_ state: StateDictionary) throws -> Critic

  /// The images with attributes `targets` instead of `labels`, and again with their own, both [N, attributes] of 0 and 1;
  /// as trained, that is with the batch's statistics in batch norms.
  func edited(_ images: Tensor, labels: Tensor, targets: Tensor, statistics: BatchStatistics) throws -> (
    fake: Tensor, reconstruction: Tensor
  )
  /// The former alone.
  func edited(_ images: Tensor, targets: Tensor, statistics: BatchStatistics) throws -> Tensor
}

extension WassersteinGenerator {
  static var objective: any TrainingObjective.Type { WassersteinObjective<Self>.self }
}

/// WGAN-GP (Gulrajani et al., 2017) with attribute classification and reconstruction: StarGAN, AttentionGAN, AttGAN.
struct WassersteinObjective<Model: WassersteinGenerator>: TrainingObjective {
  static var defaults: TrainingRecipe { Model.defaults }

  var generator: Model
  var critic: Model.Critic

  init(_ recipe: TrainingRecipe, device: any Device) throws {
    generator = try Model.fresh(recipe, device: device)
    critic = try Model.critic(recipe, device: device)
  }

  mutating func restore(generator state: StateDictionary, critic criticState: StateDictionary) throws {
    var description = GeneratorDescription()
    (description.attributes, description.imageSize) = (generator.attributes, generator.imageSize)
    generator = try Model(state, description)
    critic = try Model.critic(criticState)
  }

  mutating func step(_ run: TrainingRun) throws -> [(name: String, value: Tensor)] {
    var parts: [Tensor] = []
    for _ in 0..<run.recipe.criticSteps { parts = try criticStep(run) }
    parts += try generatorStep(run)
    let names = ["critic", "penalty", "critic classes", "generator", "reconstruction", "classes"]
    return zip(names, parts).map { ($0, $1) }
  }

  private func drawBatch(_ run: TrainingRun) throws -> (images: Tensor, labels: Tensor, targets: Tensor) {
    let batch = run.recipe.batch
    let indices = (0..<batch).map { _ in run.random.integer(below: run.faces.count) }
    let images = try run.images(indices)
    // The target attributes are those of other faces, so that impossible combinations do not occur.
    let others = run.random.permutation(batch).map { indices[$0] }
    return (
      images, try run.faces.labelBatch(indices, on: run.device), try run.faces.labelBatch(others, on: run.device)
    )
  }

  private mutating func criticStep(_ run: TrainingRun) throws -> [Tensor] {
    let recipe = run.recipe
    let (images, labels, targets) = try drawBatch(run)
    let statistics = BatchStatistics()
    let generator = generator
    let fake = try run.slicer.map(count: recipe.batch) {
      [try generator.edited(images.slice($0), targets: targets.slice($0), statistics: statistics)]
    }[0]
    try keep(statistics)
    let leaves = critic.trainable.mapValues { $0.requiringGradient() }
    let critic = critic.replacing(leaves)
    let alpha = try run.random.uniform([recipe.batch, 1, 1, 1], device: run.device)
    let mixed = try alpha * images + (1 - alpha) * fake
    return try run.update([("D", leaves)]) { range in
      let (realScore, realLogits) = try critic(images.slice(range))
      let wasserstein = try critic(fake.slice(range)).realness.mean() - realScore.mean()
      let classification = try classificationLoss(realLogits, labels.slice(range))

      // The slope of the critic on straight lines between real and fake must be 1.
      let between = try mixed.slice(range).requiringGradient()
      let score = try critic(between).realness
      let slope = try gradients(of: score.sum(), withRespectTo: [between], createGraph: true)[0]
      let norm = try slope.reshaped([range.count, -1]).squared().sum(axes: [1]).sqrt()
      let penalty = try (norm - 1).squared().mean()
      let loss =
        try wasserstein + classification * recipe.criticClassificationWeight + penalty * recipe.penaltyWeight
      return (loss, [wasserstein, penalty, classification])
    }
  }

  private mutating func generatorStep(_ run: TrainingRun) throws -> [Tensor] {
    let recipe = run.recipe
    let (images, labels, targets) = try drawBatch(run)
    let statistics = BatchStatistics()
    let leaves = generator.trainable.mapValues { $0.requiringGradient() }
    let (trained, critic) = (generator.replacing(leaves), critic)
    let parts = try run.update([("G", leaves)]) { range in
      let (real, wanted) = (try images.slice(range), try targets.slice(range))
      let (fake, again) = try trained.edited(
        real, labels: labels.slice(range), targets: wanted, statistics: statistics)
      let (score, logits) = try critic(fake)
      let adversarial = try -score.mean()
      let classification = try classificationLoss(logits, wanted)
      let reconstruction = try again.meanAbsoluteError(to: real)
      let loss =
        try adversarial + reconstruction * recipe.reconstructionWeight + classification * recipe.classificationWeight
      return (loss, [adversarial, reconstruction, classification])
    }
    try keep(statistics)
    return parts
  }

  /// Blends what batch norms saw into their running statistics.
  private mutating func keep(_ statistics: BatchStatistics) throws {
    if !statistics.observed.isEmpty { generator.parameters = try statistics.blended(into: generator.parameters) }
  }

  /// Binary cross-entropy, summed over the attributes or not, averaged over the images.
  private func classificationLoss(_ logits: Tensor, _ labels: Tensor) throws -> Tensor {
    let mean = try logits.binaryCrossEntropy(withTarget: labels)
    return Model.sumsAttributes ? try mean * Float(labels.shape[1]) : mean
  }
}

// MARK: Models

extension StarGANFamily {
  static var sumsAttributes: Bool { true }
  static var defaults: TrainingRecipe { TrainingRecipe() }

  static func fresh(_ recipe: TrainingRecipe, device: any Device) throws -> Self {
    try Self(
      width: recipe.width, blocks: recipe.blocks, attributes: recipe.attributes, imageSize: recipe.imageSize,
      seed: recipe.seed, device: device)
  }

  static func critic(_ recipe: TrainingRecipe, device: any Device) throws -> StarGANDiscriminator {
    try StarGANDiscriminator(
      width: recipe.discriminatorWidth, layers: recipe.discriminatorLayers,
      attributeCount: recipe.attributes.count, imageSize: recipe.imageSize, seed: recipe.seed &+ 1, device: device)
  }

  static func critic(_ state: StateDictionary) throws -> StarGANDiscriminator { try StarGANDiscriminator(state) }

  func edited(_ images: Tensor, targets: Tensor, statistics: BatchStatistics) throws -> Tensor {
    try self(images, condition: Condition(targets)).image
  }

  /// The second edit starts from the first: the cycle must close.
  func edited(_ images: Tensor, labels: Tensor, targets: Tensor, statistics: BatchStatistics) throws -> (
    fake: Tensor, reconstruction: Tensor
  ) {
    let fake = try edited(images, targets: targets, statistics: statistics)
    return (fake, try edited(fake, targets: labels, statistics: statistics))
  }
}

extension StarGANGenerator: WassersteinGenerator {}
extension AttentionGANGenerator: WassersteinGenerator {}

extension AttGANGenerator: WassersteinGenerator {
  static let sumsAttributes = false

  static var defaults: TrainingRecipe {
    var recipe = TrainingRecipe()
    (recipe.blocks, recipe.discriminatorLayers, recipe.hiddenCount, recipe.learningRate) = (5, 5, 1024, 2e-4)
    (recipe.classificationWeight, recipe.reconstructionWeight, recipe.batch) = (10, 100, 32)
    return recipe
  }

  static func fresh(_ recipe: TrainingRecipe, device: any Device) throws -> AttGANGenerator {
    try AttGANGenerator(
      width: recipe.width, layers: recipe.blocks, attributes: recipe.attributes, imageSize: recipe.imageSize,
      seed: recipe.seed, device: device)
  }

  static func critic(_ recipe: TrainingRecipe, device: any Device) throws -> AttGANDiscriminator {
    try AttGANDiscriminator(
      width: recipe.discriminatorWidth, layers: recipe.discriminatorLayers, hiddenCount: recipe.hiddenCount,
      attributeCount: recipe.attributes.count, imageSize: recipe.imageSize, seed: recipe.seed &+ 1, device: device)
  }

  static func critic(_ state: StateDictionary) throws -> AttGANDiscriminator { try AttGANDiscriminator(state) }

  func edited(_ images: Tensor, targets: Tensor, statistics: BatchStatistics) throws -> Tensor {
    let network = training(statistics)
    return try network.decode(network.encode(images), targets - 0.5)
  }

  /// Both are decoded from the same code.
  func edited(_ images: Tensor, labels: Tensor, targets: Tensor, statistics: BatchStatistics) throws -> (
    fake: Tensor, reconstruction: Tensor
  ) {
    let network = training(statistics)
    let codes = try network.encode(images)
    return (try network.decode(codes, targets - 0.5), try network.decode(codes, labels - 0.5))
  }

  private func training(_ statistics: BatchStatistics) -> AttGANGenerator {
    var network = self
    network.training = statistics
    return network
  }
}
