import Foundation
import Kernels
import Networks
import Pictures

/// Makes perturbations, one for each picture, by gradient steps against an ensemble of generators and detectors, looking at it through what
/// attackers and platforms do to pictures: much stronger than a universal one, and shared with no other picture. Pictures of any sizes go
/// through the networks together.
public final class Refiner {
  /// What pictures are looked at through unless something else is asked for, as `PurificationRecipe.list` reads it.
  public static let defaultViews = "blur:1,resize:0.5,median:3,jpeg:90,jpeg:75,jpeg:75@photo,denoise"

  private let generators: [any Generator]
  let detectors: [any FaceDetector]
  private let classifier: AttributeClassifier?
  private let goal: DetectorGoal
  private let device: any Device
  /// Pictures as they are, then through each purifier; detectors see those of photos alone.
  private let generatorViews: [PurifiedView], detectorViews: [PurifiedView]
  /// The most pictures that go through the networks together.
  public let batch: Int
  /// Fewer where the device's memory did not hold as many.
  private var fittingBatch: Int
  /// The masked error at which an edit is left alone: more than twice what breaks it, so that it stays broken where other views look.
  private static let interruptionTarget: Float = 0.12
  /// How sure of no face detectors are driven to be, in logits: views of their own see to it that a platform's JPEG changes nothing.
  private static let hidden: Float = 1

  /// - Parameters:
  ///   - generators: those that are worked against.
  ///   - detectors: those that are worked against.
  ///   - classifier: tells which attributes a face has, and so which edits of it there are; without one it counts as having none.
  ///   - goal: what the detectors are to be made to do.
  ///   - views: what is looked at through besides pictures as they are; nil for `defaultViews`.
  ///   - denoiser: the file of the denoiser that a view means which names none; nil for the adversarial one's below the current folder.
  ///   - batch: the most pictures that go through the networks together: algorithms are chosen for as many, however many there are, so
  ///     that a picture comes out the same, to the last bit, whatever it shares a batch with. Nil for what suits
  ///     the device.
  ///   - device: where it is done.
  /// - Throws: `PurifierError` where a view learns from other pictures, `FileError` where a denoiser's file is none.
  public init(
    generators: [any Generator], detectors: [any FaceDetector], classifier: AttributeClassifier? = nil,
    goal: DetectorGoal = .both, views: [PurificationRecipe]? = nil,
    denoiser: URL? = nil, batch: Int? = nil, device: any Device
  ) throws {
    self.batch = batch ?? Self.defaultBatch(on: device)
    fittingBatch = self.batch
    (self.generators, self.detectors, self.classifier, self.goal) = (generators, detectors, classifier, goal)
    self.device = device
    let views =
      try views ?? PurificationRecipe.list(Self.defaultViews).filter { !generators.isEmpty || $0.works(at: .photo) }
    let ready = try ([nil] + views).map { (recipe: $0, view: try PurifiedView($0, denoiser: denoiser, on: device)) }
    generatorViews = ready.map(\.view)
    detectorViews = ready.filter { $0.recipe?.works(at: .photo) ?? true }.map(\.view)
  }

  /// A processor's cores are busy with a few pictures; a GPU wants more.
  package static func defaultBatch(on device: any Device) -> Int {
    (device as? OpenCLDevice)?.isCPU ?? true ? processorBatch : gpuBatch
  }

  package static let processorBatch = 4, gpuBatch = 16

  /// Whether true faces are to be missed.
  var hidesFaces: Bool { !detectors.isEmpty && goal != .flood }

  /// - Parameters:
  ///   - image: [1, 3, H, W] in [-1, 1], sides of at least 48.
  ///   - start: the perturbation to begin with, of the image's shape, within +-epsilon; nil for a random one, which shares nothing with
  ///     those of other seeds: averaging such pictures leaves nothing to take off.
  ///   - part: where the perturbation lies. Nil for all of the image.
  ///   - given: what generators are given. Nil for that part.
  ///   - frames: of each detector what it is shown; nil for the image.
  ///   - share: how much of epsilon each pixel may use, [1, 1, H, W] in 0...1, 0 outside the part; nil for all of it.
  ///   - round: which one it is.
  ///   - saved: what saving does to pictures: one more view of detectors.
  ///   - steps: sign steps that were asked for, the first of half of epsilon, falling linearly; later rounds take a share of them.
  /// - Returns: a refinement whose steps `advance` does.
  package func refinement(
    of image: Tensor, start: Tensor?, within part: ImagePart? = nil, given: ImagePart? = nil,
    frames: [[DetectorFrame]]? = nil, share: Tensor? = nil, round: RefinementRound = .first,
    saved: PurificationRecipe? = nil, steps: Int, epsilon: Float,
    seed: UInt64
  ) throws -> Refinement {
    let place = part ?? ImagePart(rows: 0..<image.shape[2], columns: 0..<image.shape[3])
    let share = try share ?? part?.mask(height: image.shape[2], width: image.shape[3], device: device)
    let given = given ?? part
    let shown = try classifier.map {
      (attributes: $0.attributes, labels: try $0.labels(of: given?.cut(image) ?? image))
    }
    // The perturbation's own noise is the first draw.
    var random = RandomStream(seed: seed, position: 1)
    let interruptions = try generators.enumerated().map { number, generator in
      try InterruptionGoal(
        number, EmbeddedGenerator(generator, part: given), image,
        labels: shown.map { selectLabels($0.labels, of: $0.attributes, named: generator.attributes) } ?? [],
        random: &random)
    }
    let hidings = try detectors.indices.flatMap {
      try DetectorHiding.all(
        $0, detectors[$0], frames?[$0] ?? [DetectorFrame(image, part: place)],
        random: &random, on: device)
    }
    let aims = JointStep.Aims(
      epsilon: epsilon, interruptionTarget: Self.interruptionTarget,
      goal: round.isHidingFirst && goal == .both ? .hide : goal,
      weights: Dictionary(
        generators.map { (type(of: $0).name, round.generatorWeight) }, uniquingKeysWith: { weight, _ in weight }))
    return try Refinement(
      Refinement.Task(
        image: image, place: place, share: share, isHidingFirst: round.isHidingFirst, steps: round.steps(of: steps),
        epsilon: epsilon, seed: seed),
      // Where next to nothing is allowed a start says next to nothing either.
      start: start.map { start in try share.map { try start / $0.clamped(to: 0.05...1) } ?? start },
      interruptions, hidings,
      views: (
        generatorViews, detectorViews + (saved.map { [try PurifiedView($0, on: device)] } ?? [])
      ), aims)
  }

  /// A refinement from its first step to its last, and what it moves the picture by.
  package func finish(_ refinement: Refinement) throws -> Tensor {
    while !refinement.isDone { try advance([refinement]) }
    return try refinement.delta()
  }

  /// Takes refinements of this refiner a few steps further, together: each of them comes out as it would alone. They
  /// may be at different steps; those that are done stay as they are. One whose step fails alone goes no further. Where the device's
  /// memory does not hold all of them they go in parts, and one that does not fit beside the others waits for them.
  package func advance(_ refinements: [Refinement]) throws {
    var waiting: [(refinement: Refinement, error: any Error)] = []
    var hasMoved = false
    for _ in 0..<Refinement.readingInterval {
      var rest = refinements.filter { one in !one.isDone && !waiting.contains { $0.refinement === one } }
        .map { (refinement: $0, next: $0.step + 1) }
      var length = fittingBatch
      while !rest.isEmpty {
        let part = rest.prefix(length)
        do {
          try device.planning(forBatchesOf: batch) { try step(part.map(\.refinement)) }
          rest.removeFirst(part.count)
          hasMoved = true
        } catch {
          let isShortOfMemory = if case KernelsError.outOfMemory = error { true } else { false }
          if isShortOfMemory { device.trim() }
          if part.count > 1 {
            length = (part.count + 1) / 2
            if isShortOfMemory { fittingBatch = length }
            rest.removeAll { $0.refinement.step == $0.next }
          } else {
            let (refinement, _) = rest.removeFirst()
            if isShortOfMemory, refinements.count > 1 {
              waiting.append((refinement, error))
            } else {
              refinement.fail(error)
            }
          }
        }
      }
    }
    if !hasMoved, let (first, error) = waiting.first { first.fail(error) }
    try Refinement.read(refinements)
  }

  /// One step of each: one pass a network over all that look at it.
  private func step(_ refinements: [Refinement]) throws {
    let steps = try refinements.map { try $0.begin() }
    var pulls = steps.map { [JointStep.Pull?](repeating: nil, count: $0.sights.count) }
    let places = steps.indices.flatMap { step in steps[step].sights.indices.map { (step: step, sight: $0) } }
    for (pass, sharing) in Dictionary(grouping: places, by: { steps[$0.step].sights[$0.sight].pass }) {
      let sights = sharing.map { steps[$0.step].sights[$0.sight] }
      let losses = try losses(of: sights, in: pass)
      let found = try gradients(of: losses.sum(), withRespectTo: sights.map(\.leaf))
      for (index, place) in sharing.enumerated() {
        pulls[place.step][place.sight] = try pull(
          pass, loss: losses.detached().slice(index..<index + 1).reshaped([]), found[index])
      }
    }
    for (index, refinement) in refinements.enumerated() {
      try refinement.finish(steps[index], pulls[index].map { $0! })
    }
  }

  /// What a pass says of each of those who share it, [N].
  private func losses(of sights: [Refinement.Sight], in pass: Refinement.Pass) throws -> Tensor {
    let input = try Tensor.concatenated(sights.map(\.input), axis: 0)
    switch pass {
    case .generator(let number, _):
      let asked = sights.compactMap { sight -> (Condition, EditTarget)? in
        if case .edit(let condition, let target) = sight.subject { (condition, target) } else { nil }
      }
      let edits = try generators[number](input, condition: .joined(asked.map(\.0))).image
      return try JointStep.interruptionLosses(edits, .joined(asked.map(\.1)), upTo: Self.interruptionTarget)
    case .detector(let number, let goal, _, _):
      let targets = sights.compactMap { sight -> DetectorTargets? in
        if case .face(let targets) = sight.subject { targets } else { nil }
      }
      return try Poisoning.detectionLosses(
        detectors[number], input, .joined(targets), goal, hidden: Self.hidden)
    }
  }

  private func pull(_ pass: Refinement.Pass, loss: Tensor, _ gradient: Tensor) throws -> JointStep.Pull {
    let model =
      switch pass {
      case .generator(let number, _): type(of: generators[number]).name
      case .detector(let number, _, _, _): detectors[number].modelName
      }
    let isOfDetector = if case .detector = pass { true } else { false }
    return try JointStep.Pull(of: model, isOfDetector: isOfDetector, loss: loss, gradient: gradient)
  }
}

@available(*, unavailable)
extension Refiner: Sendable {}
