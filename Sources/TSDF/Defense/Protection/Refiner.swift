import Kernels
import Networks
import Pictures

/// Makes a perturbation for one picture by gradient steps against an ensemble of generators and detectors, looking at it through what
/// attackers and platforms do to pictures: much stronger than a universal one, and shared with no other picture.
public final class Refiner {
  /// What pictures are looked at through unless something else is asked for, as `PurificationRecipe.list` reads it.
  public static let defaultViews = "blur:1,resize:0.5,median:3,jpeg:90,jpeg:75,jpeg:75@photo"

  private let generators: [any Generator]
  let detectors: [any FaceDetector]
  private let classifier: AttributeClassifier?
  private let goal: DetectorGoal
  private let slicer: BatchSlicer
  /// Pictures as they are, then through each purifier; detectors see those of photos alone.
  private let generatorViews: [PurifiedView], detectorViews: [PurifiedView]
  /// The masked error at which an edit is left alone: more than twice what breaks it, so that it stays broken where other views look.
  private let interruptionTarget: Float = 0.12
  /// How sure of no face detectors are driven to be, in logits: views of their own see to it that a platform's JPEG changes nothing.
  private let hidden: Float = 1
  private let momentum: Float = 0.8
  /// The first sign step, in budgets; steps fall linearly.
  private let firstStep: Float = 0.5
  /// How much generators count where faces must be hidden at last.
  private let generatorWeight: Float = 0.1
  /// Steps between looks at what later stages of detectors look at, and at how far each goal is.
  private let regionInterval = 5, needInterval = 8

  /// - Parameters:
  ///   - classifier: tells which attributes a face has, and so which edits of it there are; without one it counts as having none.
  ///   - goal: what the detectors are to be made to do.
  ///   - views: what is looked at through besides pictures as they are; nil for `defaultViews`.
  /// - Throws: `PurifierError` where a view learns from pictures or is a network.
  public init(
    generators: [any Generator], detectors: [any FaceDetector], classifier: AttributeClassifier? = nil,
    goal: DetectorGoal = .both, views: [PurificationRecipe]? = nil, device: any Device
  ) throws {
    (self.generators, self.detectors, self.classifier, self.goal) = (generators, detectors, classifier, goal)
    slicer = BatchSlicer(device: device)
    let views = try views ?? PurificationRecipe.list(Self.defaultViews)
    func ready(_ recipes: [PurificationRecipe]) throws -> [PurifiedView] {
      try ([nil] + recipes).map { try PurifiedView($0, on: device) }
    }
    generatorViews = try ready(views)
    detectorViews = try ready(views.filter { $0.works(at: .photo) })
  }

  /// Whether true faces are to be missed.
  var hidesFaces: Bool { !detectors.isEmpty && goal != .flood }

  /// - Parameters:
  ///   - image: [1, 3, H, W] in [-1, 1], sides of at least 48.
  ///   - start: the perturbation to begin with, of the image's shape, within +-epsilon; nil for a random one, which shares nothing with
  ///     those of other seeds: averaging such pictures leaves nothing to take off.
  ///   - part: where the perturbation lies, and what generators are given. Nil for all of the image.
  ///   - frames: of each detector what it is shown; nil for the image.
  ///   - share: how much of epsilon each pixel may use, [1, 1, H, W] in 0...1, 0 outside the part; nil for all of it.
  ///   - isHidingFirst: whether faces must be hidden at last: generators count little, and nothing is invented.
  ///   - saved: what saving does to pictures: one more view of detectors.
  ///   - steps: sign steps, the first of half of epsilon, falling linearly.
  ///   - note: told how many steps are done.
  /// - Returns: a perturbation within +-epsilon that keeps the image within [-1, 1].
  public func refine(
    _ image: Tensor, start: Tensor?, within part: ImagePart? = nil, frames: [[DetectorFrame]]? = nil,
    share: Tensor? = nil, isHidingFirst: Bool = false, saved: PurificationRecipe? = nil, steps: Int, epsilon: Float,
    seed: UInt64, note: (Int) -> Void = { _ in }
  ) throws -> Tensor {
    let device = image.device
    let place = part ?? ImagePart(rows: 0..<image.shape[2], columns: 0..<image.shape[3])
    let detectorViews = try detectorViews + (saved.map { [try PurifiedView($0, on: device)] } ?? [])
    let share = try share ?? part?.mask(height: image.shape[2], width: image.shape[3], device: device)
    /// Images moved by a share of `full`, which may use all of the budget everywhere.
    func perturbed(_ full: Tensor) throws -> Tensor {
      try (image + (share.map { try full * $0 } ?? full)).clamped(to: -1...1)
    }
    var random = RandomStream(seed: seed)
    let shown = try classifier.map { (attributes: $0.attributes, labels: try $0.labels(of: part?.cut(image) ?? image)) }
    let goals = try generators.map { generator in
      try GeneratorGoal(
        EmbeddedGenerator(generator, part: part), image,
        labels: shown.map { selectLabels($0.labels, of: $0.attributes, named: generator.attributes) } ?? [],
        random: &random)
    }
    var hidings = try detectors.indices.flatMap {
      try DetectorHiding.all(
        detectors[$0], frames?[$0] ?? [DetectorFrame(image, part: place)], on: device)
    }
    var choices =
      goals.map { ViewChoice(count: generatorViews.count * $0.edits.count) }
      + hidings.map { _ in ViewChoice(count: detectorViews.count) }
    let goal = isHidingFirst && goal == .both ? .hide : goal
    let weights =
      isHidingFirst
      ? Dictionary(generators.map { (type(of: $0).name, generatorWeight) }, uniquingKeysWith: { weight, _ in weight })
      : [:]
    let zero = try Tensor(repeating: 0, shape: image.shape, device: device)
    let velocity = try Tensor(repeating: 0, shape: image.shape, device: device)
    // Where an edit is not broken at all its gradient is exactly zero: no start is without noise.
    let reach = start == nil ? epsilon : epsilon / 20
    let noise = try random.uniform(image.shape, in: -reach..<reach, device: device)
    // Where next to nothing is allowed a start says next to nothing either.
    let full = try start.map { start in try (share.map { try start / $0.clamped(to: 0.05...1) } ?? start) + noise }
    let delta = try (full ?? noise).clamped(to: -epsilon...epsilon)
    for step in 0..<steps {
      func look(_ view: PurifiedView) -> Look { { try view($0, at: $1, random: &random) } }
      let isRead = step % needInterval == needInterval - 1
      // What is reached is looked at again just before the needs are read.
      let active = choices.indices.filter { isRead || !choices[$0].isReached }
      let draws = choices.map { $0.draw(random: &random) }
      // Where the cascade looks changes with the perturbation.
      if step % regionInterval == regionInterval - 1 {
        let change = try place.cut(perturbed(delta) - image)
        for index in hidings.indices { try hidings[index].lookAgain(changedBy: change) }
      }
      let parts =
        zip(goals, draws).map { goal, draw in
          let (view, number) = draw.quotientAndRemainder(dividingBy: goal.edits.count)
          let edit = goal.edits[number]
          return JointStep.Part.generator(goal.generator, edit.condition, edit.target, look(generatorViews[view]))
        }
        + zip(hidings, draws.dropFirst(goals.count)).map { hiding, view in
          let look = look(detectorViews[view])
          return JointStep.Part.detector(hiding.detector, hiding.targets) { images, purifierPlace in
            try look(hiding.frame.changed(by: place.cut(images - image)), purifierPlace)
          }
        }
      let leaf = delta.requiringGradient()
      let (gradient, needs) = try JointStep.gradient(
        active.map { parts[$0] }, input: perturbed(leaf), leaf: leaf, epsilon: epsilon,
        interruptionTarget: interruptionTarget, goal: goal, hidden: hidden,
        weights: weights, slicer: slicer)
      try delta.signStep(
        gradient: gradient, centre: zero, velocity: velocity,
        stepSize: epsilon * firstStep * (1 - Float(step) / Float(steps)), momentum: momentum, bound: epsilon)
      for (index, need) in zip(active, needs) { try choices[index].note(draws[index], need: need, settling: isRead) }
      // Between two readings steps are queued, not done.
      if isRead { note(step + 1) }
    }
    return try perturbed(delta) - image
  }
}

@available(*, unavailable)
extension Refiner: Sendable {}

/// Every edit of a generator that an attacker may ask for: against one alone, the others would be left whole.
private struct GeneratorGoal {
  let generator: EmbeddedGenerator
  let edits: [(condition: Condition, target: EditTarget)]

  init(
    _ generator: EmbeddedGenerator, _ image: Tensor, labels: [Float], random: inout RandomStream
  ) throws {
    self.generator = generator
    edits = try generator.generator.edits.indices.map { edit in
      let condition = try generator.generator.condition([edit], labels: [labels], random: &random, device: image.device)
      let clean = try generator(image, condition: condition).image
      return (condition, try EditTarget(clean, changed: generator.input(image)))
    }
  }
}
