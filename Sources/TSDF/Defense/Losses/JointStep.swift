import Kernels
import Networks

/// One gradient that serves several goals: each goal's gradient is brought to unit mean magnitude and weighed by how far
/// the goal still is from being reached, so that one that is met stops soaking up the budget, and by how much of that way
/// the budget could go, so that one that cannot be reached does not soak it up either. Generators together count at most
/// as much as one detector alone, and so do detectors. All on the device.
enum JointStep {
  enum Part {
    /// Break this edit: the condition, the clean image's edit, and what it is looked at through.
    case generator(EmbeddedGenerator, Condition, EditTarget, Look = unchanged)
    /// Blind this detector, likewise.
    case detector(any FaceDetector, DetectorTargets, Look = unchanged)

    fileprivate var modelName: String {
      switch self {
      case .generator(let generator, _, _, _): return type(of: generator.generator).name
      case .detector(let detector, _, _): return detector.modelName
      }
    }
  }

  /// The loss at which a detector's priors are well on their way, in logits.
  private static let detectorScale: Float = 4
  /// What no goal's need and reach fall below.
  private static let leastNeed: Float = 0.02, leastReach: Float = 0.001

  /// Where a goal wants the images to go, and how much that counts.
  private struct Share {
    var direction: Tensor, weight: Tensor

    /// - Parameter magnitude: the gradient's on average.
    init(_ gradient: Tensor, magnitude: Tensor, need: Tensor, reach: Tensor, weight: Float) throws {
      direction = try gradient / (magnitude + 1e-12)
      self.weight = try need.clamped(to: leastNeed...1) * reach.clamped(to: leastReach...1) * weight
    }
  }

  /// - Parameters:
  ///   - input: the perturbed images, computed from `leaf`.
  ///   - leaf: what the gradient is taken with respect to.
  ///   - epsilon: the budget.
  ///   - hidden: how sure of no face detectors are driven to be, in logits.
  ///   - weights: how much models count besides, by their names; 1 for those that are not named.
  /// - Returns: the gradient, and for each part how far it is from being reached, 0 where it is.
  static func gradient(
    _ parts: [Part], input: Tensor, leaf: Tensor, epsilon: Float, interruptionTarget: Float, goal: DetectorGoal,
    hidden: Float = Poisoning.hidden, weights: [String: Float] = [:], slicer: BatchSlicer
  ) throws -> (gradient: Tensor, needs: [Tensor]) {
    // The images' own gradients are gathered part by part, then carried to the leaf at once.
    let images = input.detached().requiringGradient()
    let count = images.shape[0]
    var generators: [Share] = []
    var detectors: [Share] = []
    var needs: [Tensor] = []
    let contributions = try parts.map { part in
      try slicer.ownGradients(count: count, withRespectTo: [images]) { range in
        let image = try images.slice(range)
        let loss: Tensor
        switch part {
        case .generator(let generator, let condition, let target, let look):
          let edit = try generator(image, condition: condition.slice(range), through: look).image
          // Images that are broken enough are left alone.
          loss = try (interruptionTarget - target.slice(range).error(of: edit)).relu().mean()
        case .detector(let detector, let targets, let look):
          loss = try Poisoning.detectionLoss(detector, look(image, .photo), targets.slice(range), goal, hidden: hidden)
        }
        return (loss, [loss])
      }
    }
    // The images' gradients stay where they were computed: what is said of all of them is small.
    let sums = try slicer.summed(
      contributions.flatMap { part in
        let size = try part.gradients[0].abs()
        return [part.reported[0], try size.mean(), try size.sum()]
      })
    for (index, part) in parts.enumerated() {
      let (gradient, loss, magnitude) = (contributions[index].gradients[0], sums[3 * index], sums[3 * index + 1])
      let weight = weights[part.modelName] ?? 1
      // What a sign step of the whole budget changes the loss by, to first order.
      let change = try sums[3 * index + 2] * epsilon
      switch part {
      case .generator:
        // An edit moves about linearly with its image, so the root of its squared change does.
        let error = try (interruptionTarget - loss).clamped(to: 1e-8...interruptionTarget)
        let reach = try change.squared() / (error * (4 * interruptionTarget))
        needs.append(try loss / interruptionTarget)
        generators.append(
          try Share(gradient, magnitude: magnitude, need: needs.last!, reach: reach, weight: weight))
      case .detector:
        needs.append(try loss / detectorScale)
        detectors.append(
          try Share(
            gradient, magnitude: magnitude, need: needs.last!, reach: change / detectorScale, weight: weight))
      }
    }
    var total: Tensor?
    for shares in [generators, detectors] where !shares.isEmpty {
      let sum = try shares.dropFirst().reduce(shares[0].weight) { try $0 + $1.weight }
      let scale = try sum.clamped(to: 1...Float.greatestFiniteMagnitude).reciprocal()
      for share in shares {
        let part = try share.direction * (share.weight * scale)
        total = try total.map { try $0 + part } ?? part
      }
    }
    guard let total else { return (try Tensor(repeating: 0, shape: leaf.shape, device: leaf.device), needs) }
    let gradient = try gradients(of: input, withRespectTo: [leaf], seed: total)[0]
    return (try slicer.summed([gradient])[0], needs)
  }
}

extension Tensor {
  /// A gradient at a mean magnitude of 1, so that several can be added up as equals.
  public func atUnitMagnitude() throws -> Tensor { try self / (abs().mean() + 1e-12) }
}
