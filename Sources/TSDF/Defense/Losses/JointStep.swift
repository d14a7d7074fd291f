import Kernels
import Networks

/// One gradient that serves several goals: each goal's gradient is brought to unit mean magnitude and weighed by how far
/// the goal still is from being reached, so that one that is met stops soaking up the budget, and by how much of that way
/// the budget could go, so that one that cannot be reached does not soak it up either. Generators together count at most
/// as much as one detector. All on the device.
package enum JointStep {
  enum Goal {
    /// Break this edit: the condition, and the clean images' edit.
    case generator(EmbeddedGenerator, Condition, EditTarget)
    /// Blind this detector.
    case detector(any FaceDetector, DetectorTargets)

    fileprivate var modelName: String {
      switch self {
      case .generator(let generator, _, _): type(of: generator.generator).name
      case .detector(let detector, _): detector.modelName
      }
    }

    fileprivate var isOfDetector: Bool {
      if case .detector = self { true } else { false }
    }
  }

  /// The loss at which a detector's priors are well on their way, in logits.
  private static let detectorScale: Float = 4
  /// What no goal's need and reach fall below.
  private static let leastNeed: Float = 0.02, leastReach: Float = 0.001

  /// What a goal's loss says of the images.
  package struct Pull {
    /// The name of the network that it is about.
    let modelName: String
    let isOfDetector: Bool
    /// A mean over the images, and its gradient with respect to them.
    let loss: Tensor, gradient: Tensor
    /// The mean and the sum of the gradient's magnitudes.
    let magnitude: Tensor, magnitudes: Tensor
  }

  /// What goals are held against.
  package struct Aims {
    /// The budget.
    var epsilon: Float
    /// The error at which an edit is left alone.
    var interruptionTarget: Float
    var goal: DetectorGoal
    /// How much models count besides, by their names; 1 for those that are not named.
    var weights: [String: Float]

    package init(epsilon: Float, interruptionTarget: Float, goal: DetectorGoal, weights: [String: Float] = [:]) {
      (self.epsilon, self.interruptionTarget, self.goal, self.weights) = (epsilon, interruptionTarget, goal, weights)
    }
  }

  /// How far edits are from being broken, of each image: [N]. Those that differ by `target` are left alone.
  static func interruptionLosses(_ edits: Tensor, _ clean: EditTarget, upTo target: Float) throws -> Tensor {
    try (target - clean.error(of: edits)).relu()
  }

  /// Where a goal wants the images to go, and how much that counts.
  private struct Share {
    var direction: Tensor, weight: Tensor, need: Tensor

    init(_ pull: Pull, _ aims: Aims) throws {
      // What a sign step of the whole budget changes the loss by, to first order.
      let change = try pull.magnitudes * aims.epsilon
      let reach: Tensor
      if pull.isOfDetector {
        need = try pull.loss / detectorScale
        reach = try change / detectorScale
      } else {
        // An edit moves about linearly with its image, so the root of its squared change does.
        let target = aims.interruptionTarget
        let error = try (target - pull.loss).clamped(to: 1e-8...target)
        need = try pull.loss / target
        reach = try change.squared() / (error * (4 * target))
      }
      direction = try pull.gradient / (pull.magnitude + 1e-12)
      weight =
        try need.clamped(to: leastNeed...1) * reach.clamped(to: leastReach...1)
        * (aims.weights[pull.modelName] ?? 1)
    }
  }

  /// Where all goals together want the images to go: nil where there is none.
  /// - Returns: a gradient with respect to the images, and for each goal how far it is from being reached, 0 where it is.
  package static func combined(_ pulls: [Pull], _ aims: Aims) throws -> (gradient: Tensor?, needs: [Tensor]) {
    let shares = try pulls.map { try Share($0, aims) }
    var total: Tensor?
    // Where four detectors shared what one alone has, RetinaFace still found half of the faces (docs/results.md).
    let groups = Dictionary(grouping: pulls.indices) { pulls[$0].isOfDetector ? pulls[$0].modelName : nil }
    for members in groups.values.sorted(by: { $0[0] < $1[0] }) {
      let group = members.map { shares[$0] }
      let sum = try group.dropFirst().reduce(group[0].weight) { try $0 + $1.weight }
      let scale = try sum.clamped(to: 1...Float.greatestFiniteMagnitude).reciprocal()
      for share in group {
        let part = try share.direction * (share.weight * scale)
        total = try total.map { try $0 + part } ?? part
      }
    }
    return (total, shares.map(\.need))
  }

  /// The same of goals that look at all images of a batch.
  /// - Parameters:
  ///   - input: the perturbed images, computed from `leaf`.
  ///   - leaf: what the gradient is taken with respect to.
  static func gradient(_ goals: [Goal], input: Tensor, leaf: Tensor, _ aims: Aims, slicer: BatchSlicer) throws -> Tensor
  {
    // The images' own gradients are gathered goal by goal, then carried to the leaf at once.
    let images = input.detached().requiringGradient()
    let count = images.shape[0]
    let contributions = try goals.map { goal in
      try slicer.ownGradients(count: count, withRespectTo: [images]) { range in
        let image = try images.slice(range)
        let losses: Tensor
        switch goal {
        case .generator(let generator, let condition, let target):
          let edit = try generator(image, condition: condition.slice(range)).image
          losses = try interruptionLosses(edit, target.slice(range), upTo: aims.interruptionTarget)
        case .detector(let detector, let targets):
          losses = try Poisoning.detectionLosses(detector, image, targets.slice(range), aims.goal)
        }
        let loss = try losses.mean()
        return (loss, [loss])
      }
    }
    // The images' gradients stay where they were computed: what is said of all of them is small.
    let sums = try slicer.summed(
      contributions.flatMap { part in
        let size = try part.gradients[0].abs()
        return [part.reported[0], try size.mean(), try size.sum()]
      })
    let pulls = goals.indices.map { index in
      Pull(
        modelName: goals[index].modelName, isOfDetector: goals[index].isOfDetector, loss: sums[3 * index],
        gradient: contributions[index].gradients[0], magnitude: sums[3 * index + 1], magnitudes: sums[3 * index + 2])
    }
    guard let total = try combined(pulls, aims).gradient else {
      return try Tensor(repeating: 0, shape: leaf.shape, device: leaf.device)
    }
    let gradient = try gradients(of: input, withRespectTo: [leaf], seed: total)[0]
    return try slicer.summed([gradient])[0]
  }
}

extension JointStep.Pull {
  /// What a loss says of all the images that its gradient is of.
  package init(of modelName: String, isOfDetector: Bool, loss: Tensor, gradient: Tensor) throws {
    let size = try gradient.abs()
    self.init(
      modelName: modelName, isOfDetector: isOfDetector, loss: loss, gradient: gradient, magnitude: try size.mean(),
      magnitudes: try size.sum())
  }
}

extension Tensor {
  /// A gradient at a mean magnitude of 1, so that several can be added up as equals.
  package func atUnitMagnitude() throws -> Tensor { try self / (abs().mean() + 1e-12) }
}
