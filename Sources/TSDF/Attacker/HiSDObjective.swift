import Kernels
import Networks

extension HiSDGenerator: TrainableGenerator {
  static var objective: any TrainingObjective.Type { HiSDObjective.self }
}

/// HiSD's training: in each step one tag and two of its answers; hinge losses on the translation and on the cycle with a
/// penalty on the discriminator's gradient at real images, and L1 on styles and images. The generator moves first; the
/// discriminator judges what it made before. What is kept is an average of the generator's weights.
///
/// A `classificationWeight` adds StarGAN's attribute loss, which HiSD's authors do without: with it edits come to show what
/// was asked for in thousands of steps, not hundreds of thousands.
struct HiSDObjective: TrainingObjective {
  static var defaults: TrainingRecipe {
    var recipe = TrainingRecipe()
    (recipe.imageSize, recipe.batch, recipe.blocks, recipe.criticSteps) = (256, 8, 7, 1)
    (recipe.discriminatorWidth, recipe.discriminatorLayers, recipe.steps) = (32, 6, 600_000)
    (recipe.beta1, recipe.beta2, recipe.reconstructionWeight, recipe.penaltyWeight) = (0, 0.99, 1, 1)
    (recipe.decaySteps, recipe.classificationWeight) = (1, 0)
    return recipe
  }

  private static let memory: Float = 0.99

  var generator: HiSDGenerator
  var critic: HiSDDiscriminator
  private(set) var product: HiSDGenerator
  private let tags: [StyleTag]

  init(_ recipe: TrainingRecipe, device: any Device) throws {
    tags = StyleTag.parse(recipe.tags)
    guard tags.contains(where: { $0.attributes.count > 1 }) else {
      throw KernelsError.usage("HiSD needs --tags, for example --tags 'Male;Child,Young,Middle,Senior'")
    }
    for label in tags.flatMap(\.labels) where !recipe.attributes.contains(label) {
      throw KernelsError.usage("--tags names \(label), which the faces are not labelled with")
    }
    let configuration = HiSDGenerator.Configuration(
      width: recipe.width, blocks: recipe.blocks, criticWidth: recipe.discriminatorWidth,
      criticLayers: recipe.discriminatorLayers, styleCount: recipe.hiddenCount)
    try requireHalvings(recipe.discriminatorLayers, of: recipe.imageSize, "HiSD's discriminator")
    generator = try HiSDGenerator(
      configuration, tags: tags, imageSize: recipe.imageSize, seed: recipe.seed, device: device)
    critic = try HiSDDiscriminator(
      channels: configuration.extractor, styleCount: configuration.styleCount, answers: tags.map(\.attributes.count),
      others: tags.map { max(1, recipe.attributes.count - $0.labels.count) },
      attributeCount: recipe.classificationWeight > 0 ? recipe.attributes.count : 0, seed: recipe.seed &+ 1,
      device: device)
    // Optimisers work in place, so the average needs tensors of its own.
    product = generator
    product.parameters = try generator.parameters.mapValues { try $0.scaled(by: 1) }
  }

  mutating func restore(generator state: StateDictionary, critic criticState: StateDictionary) throws {
    guard criticState.tensors.keys == critic.parameters.keys else {
      throw FileError(
        criticState.origin, "holds another discriminator: --classification-weight must stay 0, or above 0, during a run"
      )
    }
    generator.parameters = state.tensors
    critic.parameters = criticState.tensors
  }

  var extraState: [String: Tensor] {
    get { product.parameters }
    set { product.parameters = newValue }
  }

  mutating func step(_ run: TrainingRun) throws -> [(name: String, value: Tensor)] {
    let recipe = run.recipe
    let (tag, from, to, indices) = try drawTask(run)
    let images = try run.images(indices)
    let others = try otherLabels(indices, tag: tag, run)
    let noise = try run.random.normal([recipe.batch, generator.configuration.noiseCount], device: run.device)

    let leaves = generator.trainable.mapValues { $0.requiringGradient() }
    let (model, critic) = (generator.replacing(leaves), critic)
    let classified = recipe.classificationWeight > 0
    let weights = (style: recipe.styleWeight, reconstruction: recipe.reconstructionWeight)
    let groups = Dictionary(grouping: leaves) { $0.key.hasPrefix("mappers.") ? "M" : "G" }
      .map { (optimizer: $0.key, leaves: Dictionary(uniqueKeysWithValues: $0.value.map { ($0.key, $0.value) })) }
    // What the discriminator then judges, by the first image of a slice; a smaller slice's replaces a larger one's.
    var made: [Int: [Tensor]] = [:]
    let generatorParts = try run.update(groups) { range in
      let (real, other) = (try images.slice(range), try others.slice(range))
      let task = try translations(model, real, noise.slice(range), tag, to)
      made[range.lowerBound] = [task.translated, task.cycled, task.own, task.wanted].map { $0.detached() }
      func score(_ trunk: Tensor, _ style: Tensor, _ answer: Int, cycle: Int) throws -> Tensor {
        try critic.scores(trunk, style: style, others: other, tag: tag, answer: answer)
          .sliced(axis: 1, cycle..<cycle + 1).mean()
      }
      let translated = try critic.trunk(task.translated)
      let adversarial =
        try critic(real, style: task.own, others: other, tag: tag, answer: from).sum(axes: [1]).mean()
        - score(translated, task.wanted.detached(), to, cycle: 0)
        - score(critic.trunk(task.cycled), task.own.detached(), from, cycle: 1)
      let style = try model.style(ofImages: task.translated, tag: tag).meanAbsoluteError(to: task.wanted)
      let plain = try model.decode(task.code).meanAbsoluteError(to: real)
      let same = try model.decode(model.translate(task.code, style: task.own, tag: tag)).meanAbsoluteError(to: real)
      let reconstruction = try plain + same + task.cycled.meanAbsoluteError(to: real)
      var loss = try adversarial + style * weights.style + reconstruction * weights.reconstruction
      var parts = [adversarial, style, reconstruction]
      if classified {
        let wanted = try Tensor(
          indices[range].flatMap { asked(run.faces.labels[$0], tag, to, recipe) },
          shape: [range.count, recipe.attributes.count], device: run.device)
        let classes = try attributeLoss(critic, translated, wanted)
        loss = try loss + classes * recipe.classificationWeight
        parts.append(classes)
      }
      return (loss, parts)
    }
    let slices = made.keys.sorted().map { made[$0]! }
    let whole = try (0..<4).map { part in
      try slices.count == 1 ? slices[0][part] : Tensor.concatenated(slices.map { $0[part] }, axis: 0)
    }
    let criticParts = try criticStep(run, images, others, whole, tag: tag, from: from, to: to)
    product.parameters = try product.parameters.merging(
      generator.parameters.map { name, value in
        (name, try product.parameters[name]! * Self.memory + value * (1 - Self.memory))
      }
    ) { $1 }
    let names =
      ["generator", "style", "reconstruction"] + (classified ? ["classes"] : []) + ["critic", "penalty"]
      + (classified ? ["critic classes"] : [])
    return zip(names, generatorParts + criticParts).map { ($0, $1) }
  }

  private func criticStep(
    _ run: TrainingRun, _ images: Tensor, _ others: Tensor, _ made: [Tensor], tag: Int, from: Int, to: Int
  ) throws -> [Tensor] {
    let leaves = critic.trainable.mapValues { $0.requiringGradient() }
    let critic = critic.replacing(leaves)
    // Attributes are learned from faces of all kinds: from those of one answer, the answer of the batch would be. And from more
    // of them: from a batch of 8 the discriminator had learned next to nothing in 700 steps.
    var mixed: (images: Tensor, labels: Tensor)?
    if run.recipe.classificationWeight > 0 {
      let indices = (0..<4 * images.shape[0]).map { _ in run.random.integer(below: run.faces.count) }
      mixed = (try run.images(indices), try run.faces.labelBatch(indices, on: run.device))
    }
    return try run.update([("D", leaves)]) { [mixed] range in
      let other = try others.slice(range)
      let parts = try made.map { try $0.slice(range) }
      func scores(_ x: Tensor, _ style: Tensor, _ answer: Int) throws -> Tensor {
        try critic(x, style: style, others: other, tag: tag, answer: answer)
      }
      let real = try images.slice(range).requiringGradient()
      let realScores = try scores(real, parts[2], from)
      var hinge = try (Float(1) - realScores).relu().sum(axes: [1]).mean()
      // The squared slope of each of the two scores at real images.
      var penalty: Tensor?
      for column in 0..<2 {
        let score = try realScores.sliced(axis: 1, column..<column + 1).sum()
        let slope = try gradients(of: score, withRespectTo: [real], createGraph: true)[0]
        let squared = try slope.reshaped([range.count, -1]).squared().sum(axes: [1]).mean()
        penalty = try penalty.map { try $0 + squared } ?? squared
      }
      hinge = try hinge + (scores(parts[0], parts[3], to).sliced(axis: 1, 0..<1) + Float(1)).relu().mean()
      hinge = try hinge + (scores(parts[1], parts[2], from).sliced(axis: 1, 1..<2) + Float(1)).relu().mean()
      let loss = try hinge + penalty! * run.recipe.penaltyWeight
      guard let mixed else { return (loss, [hinge, penalty!]) }
      let four = 4 * range.lowerBound..<4 * range.upperBound
      let classes = try attributeLoss(critic, critic.trunk(mixed.images.slice(four)), mixed.labels.slice(four))
      return (try loss + classes * run.recipe.criticClassificationWeight, [hinge, penalty!, classes])
    }
  }

  /// Binary cross-entropy, summed over the attributes, averaged over the images.
  private func attributeLoss(_ critic: HiSDDiscriminator, _ trunk: Tensor, _ labels: Tensor) throws -> Tensor {
    try critic.attributeLogits(trunk).binaryCrossEntropy(withTarget: labels) * Float(labels.shape[1])
  }

  /// The translation to another answer and back.
  private func translations(_ model: HiSDGenerator, _ images: Tensor, _ noise: Tensor, _ tag: Int, _ to: Int) throws
    -> (code: Tensor, own: Tensor, wanted: Tensor, translated: Tensor, cycled: Tensor)
  {
    let code = try model.encode(images)
    let own = try model.style(ofImages: images, tag: tag)
    let wanted = try model.style(ofNoise: noise, tag: tag, answer: to)
    let translated = try model.decode(model.translate(code, style: wanted, tag: tag))
    let cycled = try model.decode(model.translate(model.encode(translated), style: own, tag: tag))
    return (code, own, wanted, translated, cycled)
  }

  // MARK: Data

  /// A tag, the answer that the batch's faces have and one that they are to get, and the faces.
  private func drawTask(_ run: TrainingRun) throws -> (tag: Int, from: Int, to: Int, indices: [Int]) {
    for _ in 0..<1000 {
      let tag = run.random.integer(below: tags.count)
      let answers = tags[tag].attributes.count
      let from = run.random.integer(below: answers)
      let to = (from + 1 + run.random.integer(below: answers - 1)) % answers
      let faces = run.faces.labels.indices.filter { answer(run.faces.labels[$0], tag, run.recipe) == from }
      if faces.isEmpty { continue }
      return (tag, from, to, (0..<run.recipe.batch).map { _ in faces[run.random.integer(below: faces.count)] })
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
