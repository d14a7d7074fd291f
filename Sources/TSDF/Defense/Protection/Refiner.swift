import Kernels
import Networks

/// Makes a perturbation for one picture by gradient steps against an ensemble of generators and detectors, looking at it through what
/// attackers and platforms do to pictures: much stronger than a universal one, and shared with no other picture.
public final class Refiner {
  /// What pictures are looked at through unless something else is asked for, as `PurificationRecipe.list` reads it.
  public static let defaultViews = "blur:1,resize:0.5,median:3,jpeg:90,jpeg:75,jpeg:75@photo"

  private let generators: [any Generator]
  private let detectors: [any FaceDetector]
  private let goal: DetectorGoal
  private let slicer: BatchSlicer
  /// Pictures as they are, then through each purifier; detectors see those of photos alone.
  private let generatorViews: [PurifiedView], detectorViews: [PurifiedView]
  private let interruptionTarget: Float = 0.3
  private let momentum: Float = 0.8
  /// The first sign step, in budgets; steps fall linearly.
  private let firstStep: Float = 0.25
  /// Steps between looks at what later stages of detectors look at, and at how far each goal is.
  private let regionInterval = 5, needInterval = 8

  /// - Parameters:
  ///   - goal: what the detectors are to be made to do.
  ///   - views: what is looked at through besides pictures as they are; nil for `defaultViews`.
  /// - Throws: `PurifierError` where a view learns from pictures or is a network.
  public init(
    generators: [any Generator], detectors: [any FaceDetector], goal: DetectorGoal = .both,
    views: [PurificationRecipe]? = nil, device: any Device
  ) throws {
    (self.generators, self.detectors, self.goal) = (generators, detectors, goal)
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

  /// Whether detectors have to see pictures whole to say what they would say of them.
  var needsWholePictures: Bool { detectors.contains(where: \.resizesPictures) }

  /// - Parameters:
  ///   - image: [1, 3, H, W] in [-1, 1], sides of at least 48.
  ///   - start: the perturbation to begin with, of the image's shape, within +-epsilon; nil for a random one, which shares nothing with
  ///     those of other seeds: averaging such pictures leaves nothing to take off.
  ///   - part: where the perturbation lies, and what generators are given; detectors see the whole image. Nil for all of it.
  ///   - steps: sign steps, the first of a quarter of epsilon, falling linearly.
  ///   - labels: the face's labels of the given names, in their order; nothing where they are not known.
  /// - Returns: a perturbation within +-epsilon that keeps the image within [-1, 1].
  public func refine(
    _ image: Tensor, start: Tensor?, within part: ImagePart? = nil, steps: Int, epsilon: Float,
    labels: ([String]) -> [Float] = { _ in [] }, seed: UInt64
  ) throws -> Tensor {
    let device = image.device
    let mask = try part?.mask(height: image.shape[2], width: image.shape[3], device: device)
    func confined(_ delta: Tensor) throws -> Tensor { try mask.map { try delta * $0 } ?? delta }
    var random = RandomStream(seed: seed)
    let goals = try generators.map {
      try GeneratorGoal(EmbeddedGenerator($0, part: part), image, labels: labels, random: &random)
    }
    var hidings = try detectors.map { detector in
      let truth = try DetectorTruth(detector, image: image)
      return (
        detector: detector,
        targets: try DetectorTargets(detector, [truth], width: image.shape[3], regionCount: 6, device: device)
      )
    }
    var choices =
      goals.map { ViewChoice(count: generatorViews.count * $0.edits.count) }
      + hidings.map { _ in ViewChoice(count: detectorViews.count) }
    let zero = try Tensor(repeating: 0, shape: image.shape, device: device)
    let velocity = try Tensor(repeating: 0, shape: image.shape, device: device)
    // Where an edit is not broken at all its gradient is exactly zero: no start is without noise.
    let reach = start == nil ? epsilon : epsilon / 20
    let noise = try random.uniform(image.shape, in: -reach..<reach, device: device)
    var delta = try confined((start.map { try $0 + noise } ?? noise).clamped(to: -epsilon...epsilon))
    for step in 0..<steps {
      // Where the cascade looks changes with the perturbation; what it looks at now is added to the clean regions.
      if step % regionInterval == regionInterval - 1 {
        for index in hidings.indices {
          let current = try hidings[index].detector.candidateRegions((image + delta).clamped(to: -1...1))
          let all = hidings[index].targets.regions[0].prefix(3) + current
          hidings[index].targets.regions = [Array(all.prefix(8))]
        }
      }
      func look(_ view: PurifiedView) -> Look { { try view($0, at: $1, random: &random) } }
      let draws = choices.map { $0.draw(random: &random) }
      let parts =
        zip(goals, draws).map { goal, draw in
          let (view, number) = draw.quotientAndRemainder(dividingBy: goal.edits.count)
          let edit = goal.edits[number]
          return JointStep.Part.generator(goal.generator, edit.condition, edit.target, look(generatorViews[view]))
        }
        + zip(hidings, draws.dropFirst(goals.count)).map { hiding, view in
          JointStep.Part.detector(hiding.detector, hiding.targets, look(detectorViews[view]))
        }
      let leaf = delta.requiringGradient()
      let (gradient, needs) = try JointStep.gradient(
        parts, input: (image + leaf).clamped(to: -1...1), leaf: leaf, epsilon: epsilon,
        interruptionTarget: interruptionTarget, goal: goal, slicer: slicer)
      try delta.signStep(
        gradient: gradient, centre: zero, velocity: velocity,
        stepSize: epsilon * firstStep * (1 - Float(step) / Float(steps)), momentum: momentum, bound: epsilon)
      delta = try confined(delta)
      let isRead = step % needInterval == needInterval - 1
      for (index, need) in needs.enumerated() { try choices[index].note(draws[index], need: need, settling: isRead) }
    }
    return try (image + delta).clamped(to: -1...1) - image
  }
}

@available(*, unavailable)
extension Refiner: Sendable {}

/// Every edit of a generator that an attacker may ask for: against one alone, the others would be left whole.
private struct GeneratorGoal {
  let generator: EmbeddedGenerator
  let edits: [(condition: Condition, target: EditTarget)]

  init(
    _ generator: EmbeddedGenerator, _ image: Tensor, labels: ([String]) -> [Float],
    random: inout RandomStream
  ) throws {
    self.generator = generator
    let own = labels(generator.generator.attributes)
    edits = try generator.generator.edits.indices.map { edit in
      let condition = try generator.generator.condition([edit], labels: [own], random: &random, device: image.device)
      let clean = try generator(image, condition: condition).image
      return (condition, try EditTarget(clean, changed: generator.input(image)))
    }
  }
}
