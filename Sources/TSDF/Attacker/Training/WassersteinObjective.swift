import Kernels
import Networks

/// A generator of attributes that WGAN-GP trains against a critic of realness and attributes.
protocol WassersteinGenerator: TrainableGenerator {
  associatedtype Critic: AttributeCritic

  static var defaults: TrainingRecipe { get }
  /// Whether the attribute loss is a sum over the attributes; else a mean.
  static var sumsAttributes: Bool { get }
  /// Whether norms look at whole batches.
  static var hasBatchNorms: Bool { get }

  static func fresh(_ recipe: TrainingRecipe, device: any Device) throws -> Self
  /// Tells a recipe the network's extents.
  func describe(in recipe: inout TrainingRecipe)
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
  static var objective: any AdversarialObjective.Type { WassersteinObjective<Self>.self }
}

/// WGAN-GP (Gulrajani et al., 2017) with attribute classification and reconstruction: StarGAN, AttentionGAN, AttGAN.
struct WassersteinObjective<Model: WassersteinGenerator>: AdversarialObjective {
  static var defaults: TrainingRecipe { Model.defaults }

  private(set) var generator: Model
  private(set) var critic: Model.Critic
  var adaptation = Adaptation()
  /// Nil where the weights are used as they are, as the authors do.
  private var average: WeightAverage?

  init(_ recipe: TrainingRecipe, device: any Device) throws {
    generator = try Model.fresh(recipe, device: device)
    critic = try Model.critic(recipe, device: device)
    average = try recipe.averaging.map { try WeightAverage(decay: $0, of: generator) }
  }

  init(_ start: TrainingStart, _ recipe: inout TrainingRecipe, device: any Device) throws {
    var description = start.description
    if !recipe.attributes.isEmpty { description.attributes = recipe.attributes }
    let given = try start.critic.map { try Model.critic($0) }
    if let given { description.imageSize = given.imageSize }
    generator = try Model(start.generator, description)
    (recipe.attributes, recipe.imageSize) = (generator.attributes, generator.imageSize)
    generator.describe(in: &recipe)
    critic = try given ?? Model.critic(recipe, device: device)
    critic.describe(in: &recipe)
    average = try recipe.averaging.map {
      try WeightAverage(decay: $0, of: start.average.map { try Model($0, description) } ?? generator)
    }
    guard critic.attributeCount == generator.attributes.count else {
      throw KernelsError.usage(
        "the critic judges \(critic.attributeCount) attributes, the generator takes \(generator.attributes.count)")
    }
  }

  static func imageSize(of start: TrainingStart) throws -> Int {
    try start.critic.map { try Model.critic($0).imageSize } ?? Model(start.generator, start.description).imageSize
  }

  func trainedModel() throws -> Model {
    try average.map { generator.replacing($0.parameters) } ?? adaptation.applied(to: generator)
  }

  var state: [String: [String: Tensor]] {
    get {
      [
        "G": generator.parameters, "D": critic.parameters, "extra": average?.parameters ?? [:],
        "patch": adaptation.patches,
      ]
    }
    set {
      (generator.parameters, critic.parameters) = (newValue["G"]!, newValue["D"]!)
      adaptation.patches = newValue["patch"]!
      average?.parameters = newValue["extra"]!
    }
  }

  mutating func step(_ run: TrainingRun) throws -> [LossPart] {
    var reported: [LossPart] = []
    for _ in 0..<run.recipe.criticSteps { reported = try criticStep(run) }
    let batch = try drawBatch(run)
    let statistics = BatchStatistics(over: run.group)
    let leaves = adaptation.leaves(of: generator)
    reported += try run.update([("G", leaves)]) {
      try generatorLoss(adaptation.applied(leaves, to: generator), batch.slice($0), statistics, run.recipe)
    }
    try keep(statistics)
    try average?.add(adaptation.applied(to: generator))
    return reported
  }

  mutating func criticStep(_ run: TrainingRun) throws -> [LossPart] {
    if Model.hasBatchNorms { try run.slicer.keepPartsWhole() }
    let batch = try drawBatch(run)
    let statistics = BatchStatistics(over: run.group)
    let generator = try adaptation.applied(to: generator)
    let fake = try run.slicer.map(count: run.recipe.batch) {
      [try generator.edited(batch.images.slice($0), targets: batch.targets.slice($0), statistics: statistics)]
    }[0]
    try keep(statistics)
    let alpha = try run.random.uniform([run.recipe.batch, 1, 1, 1], device: run.device)
    let leaves = critic.trainable.mapValues { $0.requiringGradient() }
    let critic = critic.replacing(leaves)
    return try run.update([("D", leaves)]) {
      try criticLoss(critic, batch.slice($0), fake: fake.slice($0), alpha: alpha.slice($0), run.recipe)
    }
  }

  /// Faces with their labels and those to be asked for.
  struct Batch {
    /// [N, 3, size, size] in [-1, 1].
    var images: Tensor
    /// [N, attributes], 0 or 1.
    var labels: Tensor, targets: Tensor

    func slice(_ range: Range<Int>) throws -> Batch {
      Batch(images: try images.slice(range), labels: try labels.slice(range), targets: try targets.slice(range))
    }
  }

  private func drawBatch(_ run: TrainingRun) throws -> Batch {
    let count = run.recipe.batch
    let indices = run.drawFaces(count)
    let images = try run.images(indices)
    // The target attributes are those of other faces, so that impossible combinations do not occur.
    let others = run.random.permutation(count).map { indices[$0] }
    return Batch(
      images: images, labels: try run.faces.labelBatch(indices, on: run.device),
      targets: try run.faces.labelBatch(others, on: run.device))
  }

  func losses(of input: (String) throws -> Tensor, tag: Int, recipe: TrainingRecipe) throws -> (
    critic: (Model.Critic) throws -> TrainingLoss, generator: (Model) throws -> TrainingLoss
  ) {
    let batch = Batch(images: try input("x_real"), labels: try input("c_org"), targets: try input("c_trg"))
    let alpha = try input("alpha")
    let fake = try Autograd.withoutRecording {
      try generator.edited(batch.images, targets: batch.targets, statistics: BatchStatistics())
    }
    return (
      { try criticLoss($0, batch, fake: fake, alpha: alpha, recipe) },
      { try generatorLoss($0, batch, BatchStatistics(), recipe) }
    )
  }

  /// The critic's loss, a mean over a batch.
  /// - Parameters:
  ///   - fake: the edits of the batch's images.
  ///   - alpha: for each image the share of the original in what the penalty looks at, [N, 1, 1, 1].
  private func criticLoss(_ critic: Model.Critic, _ batch: Batch, fake: Tensor, alpha: Tensor, _ recipe: TrainingRecipe)
    throws -> TrainingLoss
  {
    let features = try Autograd.segment { try critic.features(of: batch.images) }
    let real = try -critic.realness(fromFeatures: features).mean()
    let made = try Autograd.segment { try critic.realness(of: fake).mean() }
    let classes = try classificationLoss(critic.attributes(fromFeatures: features), batch.labels)
    // The slope of the critic on straight lines between real and fake must be 1.
    let between = try (alpha * batch.images + (1 - alpha) * fake).requiringGradient()
    // A gradient that is differentiated again needs the activations at once.
    let score = try Autograd.recomputing(false) { try critic.realness(of: between) }
    let slope = try gradients(of: score.sum(), withRespectTo: [between], createGraph: true)[0]
    // A critic may be flat somewhere, and a root has no slope at 0; what is added is lost in rounding elsewhere.
    let norm = try (slope.reshaped([batch.images.shape[0], -1]).squared().sum(axes: [1]) + Float(1e-12)).sqrt()
    let penalty = try (norm - 1).squared().mean()
    let total =
      try made + real + classes * recipe.criticClassificationWeight + penalty * recipe.penaltyWeight
    return TrainingLoss(
      total, [("d.real", real), ("d.fake", made), ("d.cls", classes), ("d.gp", penalty), ("d.total", total)])
  }

  /// The generator's loss against the critic as it is, a mean over a batch.
  private func generatorLoss(
    _ generator: Model, _ batch: Batch, _ statistics: BatchStatistics, _ recipe: TrainingRecipe
  ) throws -> TrainingLoss {
    let (fake, again) = try generator.edited(
      batch.images, labels: batch.labels, targets: batch.targets, statistics: statistics)
    let (score, logits) = try critic(fake)
    let adversarial = try -score.mean()
    let classes = try classificationLoss(logits, batch.targets)
    let reconstruction = try again.meanAbsoluteError(to: batch.images)
    let total =
      try adversarial + reconstruction * recipe.reconstructionWeight + classes * recipe.classificationWeight
    return TrainingLoss(
      total, [("g.adv", adversarial), ("g.rec", reconstruction), ("g.cls", classes), ("g.total", total)])
  }

  /// Blends what batch norms saw into their running statistics.
  private mutating func keep(_ statistics: BatchStatistics) throws {
    guard !statistics.observed.isEmpty else { return }
    generator.parameters = try statistics.blended(into: generator.parameters)
  }

  /// Binary cross-entropy, summed over the attributes or not, averaged over the images.
  private func classificationLoss(_ logits: Tensor, _ labels: Tensor) throws -> Tensor {
    let mean = try logits.binaryCrossEntropy(withTarget: labels)
    return Model.sumsAttributes ? try mean * Float(labels.shape[1]) : mean
  }
}

// MARK: Models

extension AttributeCritic {
  func describe(in recipe: inout TrainingRecipe) {
    (recipe.discriminatorWidth, recipe.discriminatorLayers) = (width, layers)
    if let hiddenCount { recipe.hiddenCount = hiddenCount }
  }
}

extension StarGANFamily {
  static var sumsAttributes: Bool { true }
  static var hasBatchNorms: Bool { false }
  static var defaults: TrainingRecipe { TrainingRecipe() }

  static func fresh(_ recipe: TrainingRecipe, device: any Device) throws -> Self {
    try Self(
      width: recipe.width, blocks: recipe.blocks, attributes: recipe.attributes, imageSize: recipe.imageSize,
      seed: recipe.seed, device: device)
  }

  func describe(in recipe: inout TrainingRecipe) {
    (recipe.width, recipe.blocks) = (backbone.width, backbone.blocks)
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
  static let hasBatchNorms = true

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

  func describe(in recipe: inout TrainingRecipe) { (recipe.width, recipe.blocks) = (width, layers) }

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
