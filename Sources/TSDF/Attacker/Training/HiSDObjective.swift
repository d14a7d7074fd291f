import Kernels
import Networks

extension HiSDGenerator: TrainableGenerator {
  static var objective: any AdversarialObjective.Type { HiSDObjective.self }
  static let generatorKeys = ["gen"]
  static let averageKeys = ["gen_test"]
  static let criticKeys = ["dis"]
}

/// HiSD's training: in each step one tag and two of its answers; hinge losses on the translation and on the cycle with a
/// penalty on the discriminator's gradient at real images, and L1 on styles and images. The generator moves first; the
/// discriminator judges what it made before. What is kept is an average of the generator's weights.
///
/// A `classificationWeight` adds StarGAN's attribute loss, which HiSD's authors do without: with it edits come to show what
/// was asked for in thousands of steps, not hundreds of thousands.
struct HiSDObjective: AdversarialObjective {
  static var defaults: TrainingRecipe {
    var recipe = TrainingRecipe()
    (recipe.imageSize, recipe.batch, recipe.blocks, recipe.criticSteps) = (256, 8, 7, 1)
    (recipe.discriminatorWidth, recipe.discriminatorLayers, recipe.steps) = (32, 6, 600_000)
    (recipe.beta1, recipe.beta2, recipe.reconstructionWeight, recipe.penaltyWeight) = (0, 0.99, 1, 1)
    (recipe.decaySteps, recipe.classificationWeight) = (1, 0)
    return recipe
  }

  private(set) var generator: HiSDGenerator
  private(set) var critic: HiSDDiscriminator
  var adaptation = Adaptation()
  private var average: WeightAverage
  private var tags: [StyleTag] { generator.tags }

  init(_ recipe: TrainingRecipe, device: any Device) throws {
    let tags = StyleTag.parse(recipe.tags)
    try Self.require(tags, recipe)
    let configuration = HiSDGenerator.Configuration(
      width: recipe.width, blocks: recipe.blocks, criticWidth: recipe.discriminatorWidth,
      criticLayers: recipe.discriminatorLayers, styleCount: recipe.hiddenCount)
    generator = try HiSDGenerator(
      configuration, tags: tags, imageSize: recipe.imageSize, seed: recipe.seed, device: device)
    critic = try Self.critic(for: generator, channels: configuration.extractor, recipe, device: device)
    average = try WeightAverage(decay: Self.decay(recipe), of: generator)
  }

  init(_ start: TrainingStart, _ recipe: inout TrainingRecipe, device: any Device) throws {
    var description = start.description
    if !recipe.tags.isEmpty { description.tags = recipe.tags }
    generator = try HiSDGenerator(start.generator, description)
    let configuration = generator.configuration
    recipe.imageSize = generator.imageSize
    recipe.tags = StyleTag.text(generator.tags)
    if recipe.attributes.isEmpty { recipe.attributes = generator.attributes }
    try Self.require(generator.tags, recipe)
    (recipe.width, recipe.blocks) = (configuration.encoder[0], configuration.translator.count - 1)
    recipe.hiddenCount = configuration.styleCount
    if let given = start.critic {
      critic = try HiSDDiscriminator(given)
      guard critic.judgesAttributes || recipe.classificationWeight == 0 else {
        throw KernelsError.usage(
          "the given discriminator judges no attributes: a weight for their loss needs a fresh one")
      }
    } else {
      let channels = (0...recipe.discriminatorLayers).map { recipe.discriminatorWidth << min($0, 4) }
      critic = try Self.critic(for: generator, channels: channels, recipe, device: device)
    }
    (recipe.discriminatorWidth, recipe.discriminatorLayers) = (critic.width, critic.layers)
    average = try WeightAverage(
      decay: Self.decay(recipe), of: start.average.map { try HiSDGenerator($0, description) } ?? generator)
  }

  private static func decay(_ recipe: TrainingRecipe) -> Float { recipe.averaging ?? 0.99 }

  private static func require(_ tags: [StyleTag], _ recipe: TrainingRecipe) throws {
    guard tags.contains(where: { $0.attributes.count > 1 }) else {
      throw KernelsError.usage("HiSD needs --tags, for example --tags 'Male;Child,Young,Middle,Senior'")
    }
    for label in tags.flatMap(\.labels) where !recipe.attributes.contains(label) {
      throw KernelsError.usage("--tags names \(label), which the faces are not labelled with")
    }
  }

  private static func critic(
    for generator: HiSDGenerator, channels: [Int], _ recipe: TrainingRecipe, device: any Device
  ) throws -> HiSDDiscriminator {
    try requireHalvings(channels.count - 1, of: recipe.imageSize, "HiSD's discriminator")
    return try HiSDDiscriminator(
      channels: channels, styleCount: generator.configuration.styleCount,
      answers: generator.tags.map(\.attributes.count),
      others: generator.tags.map { max(1, recipe.attributes.count - $0.labels.count) },
      attributeCount: recipe.classificationWeight > 0 ? recipe.attributes.count : 0, seed: recipe.seed &+ 1,
      device: device)
  }

  static func imageSize(of start: TrainingStart) throws -> Int {
    try HiSDGenerator(start.generator, start.description).imageSize
  }

  func trainedModel() throws -> HiSDGenerator { generator.replacing(average.parameters) }

  var state: [String: [String: Tensor]] {
    get {
      [
        "G": generator.parameters, "D": critic.parameters, "extra": average.parameters,
        "patch": adaptation.patches,
      ]
    }
    set {
      (generator.parameters, critic.parameters) = (newValue["G"]!, newValue["D"]!)
      (average.parameters, adaptation.patches) = (newValue["extra"]!, newValue["patch"]!)
    }
  }

  /// A batch of faces of one answer to a tag, to be given another.
  struct Batch {
    /// [N, 3, size, size] in [-1, 1].
    var images: Tensor
    /// The labels that the tag does not cover, [N, others].
    var others: Tensor
    /// What the wanted styles are mapped from, [N, noise].
    var noise: Tensor
    /// The labels as they would be after the translation, [N, attributes]; nil where attributes are not judged.
    var wanted: Tensor?
    let tag: Int, from: Int, to: Int

    func slice(_ range: Range<Int>) throws -> Batch {
      Batch(
        images: try images.slice(range), others: try others.slice(range), noise: try noise.slice(range),
        wanted: try wanted?.slice(range), tag: tag, from: from, to: to)
    }
  }

  /// What the discriminator judges of what the generator made, outside any graph.
  private struct Made {
    var translated: Tensor, cycled: Tensor, own: Tensor, wanted: Tensor

    var all: [Tensor] { [translated, cycled, own, wanted] }

    func slice(_ range: Range<Int>) throws -> Made {
      Made(
        translated: try translated.slice(range), cycled: try cycled.slice(range), own: try own.slice(range),
        wanted: try wanted.slice(range))
    }

    init(translated: Tensor, cycled: Tensor, own: Tensor, wanted: Tensor) {
      (self.translated, self.cycled) = (translated.detached(), cycled.detached())
      (self.own, self.wanted) = (own.detached(), wanted.detached())
    }

    /// From its parts in the order of `all`.
    init(_ all: [Tensor]) { self.init(translated: all[0], cycled: all[1], own: all[2], wanted: all[3]) }

    /// Slices put together.
    init(_ slices: [Made]) throws {
      func joined(_ part: KeyPath<Made, Tensor>) throws -> Tensor {
        try Tensor.concatenated(slices.map { $0[keyPath: part] }, axis: 0)
      }
      self.init(
        translated: try joined(\.translated), cycled: try joined(\.cycled), own: try joined(\.own),
        wanted: try joined(\.wanted))
    }
  }

  mutating func step(_ run: TrainingRun) throws -> [LossPart] {
    let recipe = run.recipe
    let (batch, mixed) = try drawBatch(run)
    let leaves = adaptation.leaves(of: generator)
    let groups = Dictionary(grouping: leaves) { $0.key.hasPrefix("mappers.") ? "M" : "G" }
      .map { (optimizer: $0.key, leaves: Dictionary(uniqueKeysWithValues: $0.value.map { ($0.key, $0.value) })) }
    // By the first image of a slice; a smaller slice's replaces a larger one's.
    var made: [Int: Made] = [:]
    let reported = try run.update(groups) { range in
      let (loss, parts) = try generatorLoss(adaptation.applied(leaves, to: generator), batch.slice(range), recipe)
      made[range.lowerBound] = parts
      return loss
    }
    let own = try Made(made.keys.sorted().map { made[$0]! }).all.map { try run.slicer.padded($0, count: recipe.batch) }
    let judged = try criticUpdate(run, batch, mixed, Made(own))
    try average.add(adaptation.applied(to: generator))
    return reported + judged
  }

  mutating func criticStep(_ run: TrainingRun) throws -> [LossPart] {
    let (batch, mixed) = try drawBatch(run)
    let trained = try adaptation.applied(to: generator)
    let made = try run.slicer.map(count: run.recipe.batch) { range in
      try generatorLoss(trained, batch.slice(range), run.recipe).made.all
    }
    return try criticUpdate(run, batch, mixed, Made(made))
  }

  private func criticUpdate(
    _ run: TrainingRun, _ batch: Batch, _ mixed: (images: Tensor, labels: Tensor)?, _ made: Made
  ) throws -> [LossPart] {
    let leaves = critic.trainable.mapValues { $0.requiringGradient() }
    let critic = critic.replacing(leaves)
    return try run.update([("D", leaves)]) { range in
      let four = 4 * range.lowerBound..<4 * range.upperBound
      return try criticLoss(
        critic, batch.slice(range), made.slice(range),
        mixed.map { (try $0.images.slice(four), try $0.labels.slice(four)) }, run.recipe)
    }
  }

  func losses(of input: (String) throws -> Tensor, tag: Int, recipe: TrainingRecipe) throws -> (
    critic: (HiSDDiscriminator) throws -> TrainingLoss, generator: (HiSDGenerator) throws -> TrainingLoss
  ) {
    guard tags.indices.contains(tag) else {
      throw KernelsError.usage("--tag must be below \(tags.count): that is how many tags the generator has")
    }
    func answer(_ name: String) throws -> Int {
      let value = try input(name).item()
      guard let answer = Int(exactly: value), tags[tag].attributes.indices.contains(answer) else {
        throw KernelsError.usage("\(name) is \(value), which is no answer to tag \(tag)")
      }
      return answer
    }
    let batch = Batch(
      images: try input("x_real"), others: try input("others"), noise: try input("noise"), tag: tag,
      from: try answer("from"), to: try answer("to"))
    let made = try Autograd.withoutRecording { try generatorLoss(generator, batch, recipe).made }
    return ({ try criticLoss($0, batch, made, nil, recipe) }, { try generatorLoss($0, batch, recipe).loss })
  }

  /// The generator's loss against the discriminator as it is, a mean over a batch.
  private func generatorLoss(_ model: HiSDGenerator, _ batch: Batch, _ recipe: TrainingRecipe) throws -> (
    loss: TrainingLoss, made: Made
  ) {
    let (tag, from, to) = (batch.tag, batch.from, batch.to)
    let code = try model.encode(batch.images)
    let own = try model.style(ofImages: batch.images, tag: tag)
    let wanted = try model.style(ofNoise: batch.noise, tag: tag, answer: to)
    let translated = try model.decode(model.translate(code, style: wanted, tag: tag))
    let cycled = try model.decode(model.translate(model.encode(translated), style: own, tag: tag))
    func score(_ trunk: Tensor, _ style: Tensor, _ answer: Int, cycle: Int) throws -> Tensor {
      try critic.scores(trunk, style: style, others: batch.others, tag: tag, answer: answer)
        .sliced(axis: 1, cycle..<cycle + 1).mean()
    }
    let trunk = try critic.trunk(translated)
    let adversarial =
      try critic(batch.images, style: own, others: batch.others, tag: tag, answer: from).sum(axes: [1]).mean()
      - score(trunk, wanted.detached(), to, cycle: 0) - score(critic.trunk(cycled), own.detached(), from, cycle: 1)
    let style = try model.style(ofImages: translated, tag: tag).meanAbsoluteError(to: wanted)
    let plain = try model.decode(code).meanAbsoluteError(to: batch.images)
    let same = try model.decode(model.translate(code, style: own, tag: tag)).meanAbsoluteError(to: batch.images)
    let reconstruction = try plain + same + cycled.meanAbsoluteError(to: batch.images)
    var total = try adversarial + style * recipe.styleWeight + reconstruction * recipe.reconstructionWeight
    var parts = [("g.adv", adversarial), ("g.sty", style), ("g.rec", reconstruction)]
    if let labels = batch.wanted {
      let classes = try attributeLoss(critic, trunk, labels)
      total = try total + classes * recipe.classificationWeight
      parts.append(("g.cls", classes))
    }
    return (
      TrainingLoss(total, parts + [("g.total", total)]),
      Made(translated: translated, cycled: cycled, own: own, wanted: wanted)
    )
  }

  /// The discriminator's loss, a mean over a batch.
  /// - Parameter mixed: faces of all kinds with their labels, to learn attributes from; nil where they are not judged.
  private func criticLoss(
    _ critic: HiSDDiscriminator, _ batch: Batch, _ made: Made, _ mixed: (images: Tensor, labels: Tensor)?,
    _ recipe: TrainingRecipe
  ) throws -> TrainingLoss {
    func scores(_ x: Tensor, _ style: Tensor, _ answer: Int) throws -> Tensor {
      try critic(x, style: style, others: batch.others, tag: batch.tag, answer: answer)
    }
    let images = batch.images.requiringGradient()
    // A gradient that is differentiated again needs the activations at once.
    let realScores = try Autograd.recomputing(false) { try scores(images, made.own, batch.from) }
    let real = try (Float(1) - realScores).relu().sum(axes: [1]).mean()
    // The squared slope of each of the two scores at real images.
    var penalty: Tensor?
    for column in 0..<2 {
      let score = try realScores.sliced(axis: 1, column..<column + 1).sum()
      let slope = try gradients(of: score, withRespectTo: [images], createGraph: true)[0]
      let squared = try slope.reshaped([images.shape[0], -1]).squared().sum(axes: [1]).mean()
      penalty = try penalty.map { try $0 + squared } ?? squared
    }
    let translated = try (scores(made.translated, made.wanted, batch.to).sliced(axis: 1, 0..<1) + Float(1)).relu()
      .mean()
    let cycled = try (scores(made.cycled, made.own, batch.from).sliced(axis: 1, 1..<2) + Float(1)).relu().mean()
    let hinge = try real + translated + cycled
    var total = try hinge + penalty! * recipe.penaltyWeight
    var parts = [("d.real", real), ("d.fake", try translated + cycled), ("d.gp", penalty!)]
    if let mixed {
      let classes = try attributeLoss(critic, critic.trunk(mixed.images), mixed.labels)
      total = try total + classes * recipe.criticClassificationWeight
      parts.append(("d.cls", classes))
    }
    return TrainingLoss(total, parts + [("d.total", total)])
  }

  /// Binary cross-entropy, summed over the attributes, averaged over the images.
  private func attributeLoss(_ critic: HiSDDiscriminator, _ trunk: Tensor, _ labels: Tensor) throws -> Tensor {
    try critic.attributeLogits(trunk).binaryCrossEntropy(withTarget: labels) * Float(labels.shape[1])
  }

  // MARK: Data

  /// A batch, and where attributes are judged faces of all kinds: from those of one answer, the answer of the batch would be
  /// learned. Four times as many: from a batch of 8 the discriminator had learned next to nothing in 700 steps.
  private func drawBatch(_ run: TrainingRun) throws -> (Batch, mixed: (images: Tensor, labels: Tensor)?) {
    let recipe = run.recipe
    let (tag, from, to, indices) = try drawTask(run)
    let images = try run.images(indices)
    let others = try otherLabels(indices, tag: tag, run)
    try critic.require(others: others.shape[1], tag: tag, styleCount: generator.configuration.styleCount)
    let noise = try run.random.normal([recipe.batch, generator.configuration.noiseCount], device: run.device)
    var batch = Batch(images: images, others: others, noise: noise, tag: tag, from: from, to: to)
    guard recipe.classificationWeight > 0 else { return (batch, nil) }
    batch.wanted = try Tensor(
      indices.flatMap { asked(run.faces.labels[$0], tag, to, recipe) },
      shape: [indices.count, recipe.attributes.count], device: run.device)
    let more = run.drawFaces(4 * recipe.batch)
    return (batch, (try run.images(more), try run.faces.labelBatch(more, on: run.device)))
  }

  /// A tag, the answer that the batch's faces have and one that they are to get, and the faces.
  private func drawTask(_ run: TrainingRun) throws -> (tag: Int, from: Int, to: Int, indices: [Int]) {
    for _ in 0..<1000 {
      let tag = run.random.integer(below: tags.count)
      let answers = tags[tag].attributes.count
      let from = run.random.integer(below: answers)
      let to = (from + 1 + run.random.integer(below: answers - 1)) % answers
      guard let faces = run.drawFaces(run.recipe.batch, where: { answer($0, tag, run.recipe) == from }) else {
        continue
      }
      return (tag, from, to, faces)
    }
    throw KernelsError.usage("no face has an answer to any of the tags \(run.recipe.tags)")
  }

  /// A face's answer to a tag; nil where its labels give none.
  private func answer(_ labels: [Float], _ tag: Int, _ recipe: TrainingRecipe) -> Int? {
    let columns = tags[tag].labels.map { recipe.attributes.firstIndex(of: $0)! }
    return columns.count == 1 ? Int(labels[columns[0]]) : columns.firstIndex { labels[$0] == 1 }
  }

  /// A face's labels with another answer to a tag.
  private func asked(_ labels: [Float], _ tag: Int, _ answer: Int, _ recipe: TrainingRecipe) -> [Float] {
    var labels = labels
    let columns = tags[tag].labels.map { recipe.attributes.firstIndex(of: $0)! }
    for (i, column) in columns.enumerated() {
      labels[column] = columns.count == 1 ? Float(answer) : i == answer ? 1 : 0
    }
    return labels
  }

  /// The labels that a tag does not cover, [N, others]; ones where it covers all.
  private func otherLabels(_ indices: [Int], tag: Int, _ run: TrainingRun) throws -> Tensor {
    let columns = run.recipe.attributes.indices.filter { !tags[tag].labels.contains(run.recipe.attributes[$0]) }
    let values = indices.flatMap { face in columns.map { run.faces.labels[face][$0] } }
    guard !columns.isEmpty else { return try Tensor(repeating: 1, shape: [indices.count, 1], device: run.device) }
    return try Tensor(values, shape: [indices.count, columns.count], device: run.device)
  }
}
