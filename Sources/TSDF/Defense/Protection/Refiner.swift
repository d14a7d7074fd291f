import Kernels
import Networks

/// Adapts a perturbation to one picture by gradient steps against an ensemble of a generator and detectors, from the
/// universal perturbation on: much stronger than the universal one alone, at the price of the steps.
public final class Refiner {
  private let generators: [any Generator]
  private let detectors: [any FaceDetector]
  private let goal: DetectorGoal
  private let slicer: BatchSlicer
  private let interruptionTarget: Float = 0.3
  private let momentum: Float = 0.5
  /// What every other step looks through, so that recompression does not undo them.
  private let compression: JPEGModel?

  /// - Parameters:
  ///   - goal: what the detectors are to be made to do.
  ///   - compressionQuality: of the JPEG that every other step looks through; nil for none.
  public init(
    generators: [any Generator], detectors: [any FaceDetector], goal: DetectorGoal = .both,
    compressionQuality: Int? = CraftRecipe().compressionQuality, device: any Device
  ) throws {
    compression = try compressionQuality.map { try JPEGModel(quality: $0, device: device) }
    self.goal = goal
    slicer = BatchSlicer(device: device)
    self.generators = generators
    self.detectors = detectors
  }

  /// Whether true faces are to be missed.
  var hidesFaces: Bool { !detectors.isEmpty && goal != .flood }

  /// - Parameters:
  ///   - image: [1, 3, H, W] in [-1, 1], sides of at least 48.
  ///   - start: the perturbation to begin with, of the image's shape, within +-epsilon.
  ///   - part: where the perturbation lies, and what generators are given; detectors see the whole image. Nil for all of it.
  ///   - steps: sign steps of epsilon / 8, falling linearly.
  ///   - labels: the face's labels of the given names, in their order; nothing where they are not known.
  /// - Returns: a perturbation within +-epsilon that keeps the image within [-1, 1].
  public func refine(
    _ image: Tensor, start: Tensor, within part: ImagePart? = nil, steps: Int, epsilon: Float,
    labels: ([String]) -> [Float] = { _ in [] }, seed: UInt64
  ) throws -> Tensor {
    let device = image.device
    let generators = generators.map { EmbeddedGenerator($0, part: part) }
    let mask = try part?.mask(height: image.shape[2], width: image.shape[3], device: device)
    func confined(_ delta: Tensor) throws -> Tensor { try mask.map { try delta * $0 } ?? delta }
    var random = RandomStream(seed: seed)
    var targets = try detectors.map {
      try DetectorTargets(
        $0, [DetectorTruth($0, image: image)], width: image.shape[3], regionCount: 6, device: device)
    }
    // Every edit that an attacker may ask for: against one of them alone, the others would be left whole.
    let edits = try generators.map { generator in
      let labels = labels(generator.generator.attributes)
      return try generator.generator.edits.indices.map { edit in
        let condition = try generator.generator.condition([edit], labels: [labels], random: &random, device: device)
        return (condition: condition, clean: try generator(image, condition: condition).image)
      }
    }
    let zero = try Tensor(repeating: 0, shape: image.shape, device: device)
    let velocity = try Tensor(repeating: 0, shape: image.shape, device: device)
    // A random start, as usual for sign steps: where an edit is not broken at all its gradient is exactly zero.
    let noise = try random.uniform(image.shape, in: -epsilon / 20..<epsilon / 20, device: device)
    var delta = try confined((start + noise).clamped(to: -epsilon...epsilon))
    for step in 0..<steps {
      // Where the cascade looks changes with the perturbation; what it looks at now is added to the clean regions.
      if step % 5 == 4 {
        for (index, detector) in detectors.enumerated() {
          let current = try detector.candidateRegions((image + delta).clamped(to: -1...1))
          targets[index].regions = [Array((targets[index].regions[0].prefix(3) + current).prefix(8))]
        }
      }
      let parts =
        zip(generators, edits).map { generator, edits in
          let edit = edits[random.integer(below: edits.count)]
          return JointStep.Part.generator(generator, edit.condition, edit.clean)
        }
        + zip(detectors, targets).map { JointStep.Part.detector($0, $1) }
      let leaf = delta.requiringGradient()
      let plain = try (image + leaf).clamped(to: -1...1)
      let gradient = try JointStep.gradient(
        parts, input: step % 2 == 1 ? compression?(plain) ?? plain : plain, leaf: leaf,
        epsilon: epsilon, interruptionTarget: interruptionTarget, goal: goal, slicer: slicer)
      try delta.signStep(
        gradient: gradient, centre: zero, velocity: velocity,
        stepSize: epsilon / 8 * (1 - Float(step) / Float(steps)), momentum: momentum, bound: epsilon)
      delta = try confined(delta)
    }
    return try (image + delta).clamped(to: -1...1) - image
  }
}

@available(*, unavailable)
extension Refiner: Sendable {}
