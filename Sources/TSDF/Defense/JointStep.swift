import Kernels

/// One gradient that serves several goals: each goal's gradient is brought to unit mean magnitude and weighed by how far
/// the goal still is from being reached, so that one that is met stops soaking up the budget. Generators together count as
/// much as detectors together: several that cannot be broken must not drown a detector that can. All on the device.
enum JointStep {
  enum Part {
    /// Break this edit: the condition and the clean image's edit.
    case generator(EmbeddedGenerator, Condition, Tensor)
    /// Blind this detector.
    case detector(any FaceDetector, DetectorTargets)
  }

  /// The loss at which a detector's priors are well on their way, in logits.
  private static let detectorScale: Float = 4

  /// - Parameters:
  ///   - input: the perturbed images, computed from `leaf`.
  ///   - leaf: what the gradient is taken with respect to.
  static func gradient(
    _ parts: [Part], input: Tensor, leaf: Tensor, interruptionTarget: Float, goal: DetectorGoal,
    slicer: BatchSlicer
  ) throws -> Tensor {
    // The images' own gradients are gathered part by part, then carried to the leaf at once.
    let images = input.detached().requiringGradient()
    let count = images.shape[0]
    let generatorCount = parts.count {
      if case .generator = $0 { true } else { false }
    }
    var total: Tensor?
    for part in parts {
      let (found, losses) = try slicer.gradients(count: count, withRespectTo: [images]) { range in
        let image = try images.slice(range)
        let loss: Tensor
        switch part {
        case .generator(let generator, let condition, let cleanEdit):
          let edit = try generator(image, condition: condition.slice(range)).image
          // Images that are broken enough are left alone.
          loss = try (interruptionTarget - squaredErrorByImage(edit, cleanEdit.slice(range))).relu().mean()
        case .detector(let detector, let targets):
          loss = try Poisoning.detectionLoss(detector, image, targets.slice(range), goal)
        }
        return (loss, [loss])
      }
      let scale: Float
      let peers: Int
      switch part {
      case .generator: (scale, peers) = (interruptionTarget, generatorCount)
      case .detector: (scale, peers) = (detectorScale, parts.count - generatorCount)
      }
      let need = try losses[0] / scale
      let share = try found[0].atUnitMagnitude() * need.clamped(to: 0.02...1) / Float(peers)
      total = try total.map { try $0 + share } ?? share
    }
    guard let total else { return try Tensor(repeating: 0, shape: leaf.shape, device: leaf.device) }
    return try gradients(of: input, withRespectTo: [leaf], seed: total)[0]
  }
}

extension Tensor {
  /// A gradient at a mean magnitude of 1, so that several can be added up as equals.
  public func atUnitMagnitude() throws -> Tensor { try self / (abs().mean() + 1e-12) }
}
