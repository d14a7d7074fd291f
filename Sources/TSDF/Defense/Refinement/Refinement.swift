import Kernels
import Networks
import Pictures

/// One picture on its way through refinement: its goals, how far each is, and its perturbation so far. Its randomness is its own, so
/// that what else shares the networks' passes changes nothing.
package final class Refinement {
  /// What the perturbation of one picture is made within and by.
  struct Task {
    /// [1, 3, H, W] in [-1, 1].
    var image: Tensor
    /// Where the perturbation lies, and what generators are given.
    var place: ImagePart
    /// How much of epsilon each pixel may use, [1, 1, H, W] in 0...1; nil for all of it.
    var share: Tensor?
    /// Whether detectors are shown the piece as it is in each step.
    var isHidingFirst: Bool
    var steps: Int
    var epsilon: Float
    var seed: UInt64
  }

  /// A pass that goals of several pictures may share.
  enum Pass: Hashable {
    /// A generator by its number, and the tag that is asked for, where it has tags.
    case generator(Int, tag: Int?)
    /// A detector by its number.
    case detector(Int, DetectorGoal, height: Int, width: Int)
  }

  /// What a goal looks at in a step.
  struct Sight {
    enum Subject {
      case edit(Condition, EditTarget)
      case face(DetectorTargets)
    }

    let pass: Pass
    /// The goal's number, and its view's.
    let goal: Int, view: Int
    /// The perturbed picture, of this goal alone, and what the network is given of it.
    let leaf: Tensor, input: Tensor
    let subject: Subject
  }

  /// A step that has begun: the perturbation, the picture with it, and what goals look at.
  struct Step {
    fileprivate let leaf: Tensor, images: Tensor
    let sights: [Sight]
  }

  /// Steps between two readings of how far each goal is.
  static let readingInterval = 8
  private static let momentum: Float = 0.8
  /// The first sign step, in budgets; steps fall linearly.
  private static let firstStep: Float = 0.5

  private let task: Task
  private let interruptions: [InterruptionGoal]
  private let hidings: [DetectorHiding]
  private let generatorViews: [PurifiedView], detectorViews: [PurifiedView]
  private let aims: JointStep.Aims
  private var choices: [ViewChoice]
  private let zero: Tensor, velocity: Tensor, perturbation: Tensor
  /// What was seen and not read from the device yet.
  private var unread: [(sight: (goal: Int, view: Int), need: Tensor)] = []

  /// How many steps are done.
  package private(set) var step = 0
  /// Why it goes no further; thrown by `delta`.
  private var failure: (any Error)?
  package var isDone: Bool { step >= task.steps || failure != nil }

  /// - Parameter start: the perturbation to begin with, of the image's shape, in shares of the budget that each pixel may use; nil for a
  ///   random one.
  init(
    _ task: Task, start: Tensor?, _ interruptions: [InterruptionGoal], _ hidings: [DetectorHiding],
    views: (generators: [PurifiedView], detectors: [PurifiedView]), _ aims: JointStep.Aims
  ) throws {
    (self.task, self.interruptions, self.hidings, self.aims) = (task, interruptions, hidings, aims)
    (generatorViews, detectorViews) = views
    choices =
      interruptions.map { ViewChoice(count: views.generators.count * $0.edits.count) }
      + hidings.map { ViewChoice(count: views.detectors.count * $0.cases.count) }
    let (shape, device, epsilon) = (task.image.shape, task.image.device, task.epsilon)
    zero = try Tensor(repeating: 0, shape: shape, device: device)
    velocity = try Tensor(repeating: 0, shape: shape, device: device)
    // Where an edit is not broken at all its gradient is exactly zero: no start is without noise.
    let reach = start == nil ? epsilon : epsilon / 20
    var random = RandomStream(seed: task.seed)
    let noise = try random.uniform(shape, in: -reach..<reach, device: device)
    perturbation = try (start.map { try $0 + noise } ?? noise).clamped(to: -epsilon...epsilon)
  }

  /// Images moved by a share of `full`, which may use all of the budget everywhere.
  private func moved(by full: Tensor) throws -> Tensor {
    try (task.image + (task.share.map { try full * $0 } ?? full)).clamped(to: -1...1)
  }

  /// What the picture is moved by so far: within +-epsilon, and so that it stays within [-1, 1].
  /// - Throws: why a step failed.
  package func delta() throws -> Tensor {
    if let failure { throw failure }
    return try moved(by: perturbation) - task.image
  }

  func fail(_ error: any Error) { failure = error }

  /// What goals look at now. Nothing changes until `finish`.
  func begin() throws -> Step {
    let leaf = perturbation.requiringGradient()
    let images = try moved(by: leaf)
    // What is reached is looked at again just before needs are read.
    let isRead = step % Self.readingInterval == Self.readingInterval - 1
    let sights = try choices.indices.filter { isRead || !choices[$0].isReached }.flatMap { goal in
      // A stream a goal and step: the order in which goals look does not matter.
      var random = RandomStream(seed: task.seed, position: UInt64(goal + 1) << 40 | UInt64(step) << 16)
      if goal < interruptions.count {
        return try choices[goal].draw(1, random: &random).map {
          try sight(of: interruptions[goal], goal, $0, images.detached().requiringGradient(), random: &random)
        }
      }
      let hiding = hidings[goal - interruptions.count]
      let asItIs = (0..<detectorViews.count).map { $0 * hiding.cases.count }
      return try choices[goal].draw(DetectorHiding.looks, first: task.isHidingFirst ? asItIs : nil, random: &random).map
      {
        try sight(of: hiding, goal, $0, images.detached().requiringGradient(), random: &random)
      }
    }
    return Step(leaf: leaf, images: images, sights: sights)
  }

  private func sight(
    of interruption: InterruptionGoal, _ goal: Int, _ draw: Int, _ leaf: Tensor, random: inout RandomStream
  ) throws -> Sight {
    let (number, edit) = draw.quotientAndRemainder(dividingBy: interruption.edits.count)
    let (view, (condition, target)) = (generatorViews[number], interruption.edits[edit])
    let seen = try interruption.generator.input(view(leaf, at: .photo, random: &random))
    return Sight(
      pass: .generator(interruption.number, tag: condition.tags.first), goal: goal, view: draw, leaf: leaf,
      input: try view(seen, at: .network, random: &random), subject: .edit(condition, target))
  }

  private func sight(
    of hiding: DetectorHiding, _ goal: Int, _ draw: Int, _ leaf: Tensor, random: inout RandomStream
  ) throws -> Sight {
    let (number, index) = draw.quotientAndRemainder(dividingBy: hiding.cases.count)
    let (frame, targets) = hiding.cases[index]
    let piece = try frame.changed(by: task.place.cut(leaf - task.image))
    let input = try detectorViews[number](piece, at: .photo, random: &random)
    return Sight(
      pass: .detector(hiding.number, aims.goal, height: input.shape[2], width: input.shape[3]), goal: goal, view: draw,
      leaf: leaf, input: input, subject: .face(targets))
  }

  /// Moves the perturbation.
  /// - Parameter pulls: what the step's sights say, in their order.
  func finish(_ begun: Step, _ pulls: [JointStep.Pull]) throws {
    let (total, needs) = try JointStep.combined(pulls, aims)
    // Where all is reached the steps before carry on.
    let gradient = try total.map { try gradients(of: begun.images, withRespectTo: [begun.leaf], seed: $0)[0] } ?? zero
    try perturbation.takeSignStep(
      gradient: gradient, centre: zero, velocity: velocity,
      stepSize: task.epsilon * Self.firstStep * (1 - Float(step) / Float(task.steps)), momentum: Self.momentum,
      bound: task.epsilon)
    unread += zip(begun.sights, needs).map { (($0.goal, $0.view), $1) }
    step += 1
  }

  /// Tells several what they saw since the last time, read from the device at once: until then steps are queued, not done.
  static func read(_ refinements: [Refinement]) throws {
    let needs = try refinements.flatMap { try $0.unread.map { try $0.need.reshaped([1]) } }
    guard !needs.isEmpty else { return }
    var values = try Tensor.concatenated(needs, axis: 0).values()[...]
    for refinement in refinements {
      for seen in refinement.unread {
        refinement.choices[seen.sight.goal].note(seen.sight.view, need: values.removeFirst())
      }
      refinement.unread = []
    }
  }
}

@available(*, unavailable)
extension Refinement: Sendable {}

/// Every edit of a generator that an attacker may ask for: against one alone, the others would be left whole.
struct InterruptionGoal {
  /// The generator's among the refiner's.
  let number: Int
  let generator: EmbeddedGenerator
  let edits: [(condition: Condition, target: EditTarget)]

  init(
    _ number: Int, _ generator: EmbeddedGenerator, _ image: Tensor, labels: [Float], random: inout RandomStream
  ) throws {
    (self.number, self.generator) = (number, generator)
    let input = try generator.input(image)
    edits = try generator.generator.edits.indices.map { edit in
      let condition = try generator.generator.condition([edit], labels: [labels], random: &random, device: image.device)
      return (condition, try EditTarget(generator.generator(input, condition: condition).image, changed: input))
    }
  }
}
