import Foundation
import Kernels
import Networks
import Pictures

/// What a detector makes of one clean image, and so what poisoning works against: found once a face, on the host.
struct DetectorTruth {
  /// 1 for the priors that find a true face; all 0 where nothing is found.
  let positivePriors: [Float]
  /// 1 for all priors near a true face.
  let near: [Float]
  /// For each quadrant, 1 for the priors on its background that could be made small false faces.
  let background: [[Float]]
  /// The centres that the priors' boxes are regressed to, two values a prior.
  let centers: [Float]
  /// Whether there is a face at all.
  let hasFace: Bool

  /// Of each of several images, in one pass.
  /// - Parameters:
  ///   - images: clean, [N, 3, H, W].
  ///   - parts: where faces of each have their centres that count; nil for anywhere.
  static func each(_ detector: any FaceDetector, of images: Tensor, within parts: [Box?]) throws -> [DetectorTruth] {
    do {
      let heads = try Autograd.withoutRecording { try detector.heads(images.detached()) }
      return try parts.enumerated().map { index, part in
        let one = index..<index + 1
        return try DetectorTruth(detector, image: images.slice(one), heads: heads.slice(one), within: part)
      }
    } catch KernelsError.outOfMemory where parts.count > 1 {
      images.device.trim()
      let half = parts.count / 2
      return try each(detector, of: images.slice(0..<half), within: Array(parts[..<half]))
        + each(detector, of: images.slice(half..<parts.count), within: Array(parts[half...]))
    }
  }

  /// - Parameters:
  ///   - image: clean, [1, 3, H, W].
  ///   - heads: what the detector's say of it.
  ///   - part: where faces have their centres that count; nil for anywhere.
  private init(_ detector: any FaceDetector, image: Tensor, heads: DetectorHeads, within part: Box?) throws {
    let (height, width) = (image.shape[2], image.shape[3])
    let priors = detector.priorBoxes(height: height, width: width)
    let margins = try heads.margins().values()
    let boxes = try detector.decodedBoxes(heads.location, height: height, width: width).values()
    let threshold = defaultDetectionThreshold
    let found =
      try detector.faces(in: heads, height: height, width: width, threshold: threshold)
      ?? detector.detect(image, threshold: threshold).map(\.box)
    let truth = found.filter { face in
      part.map { $0.x0 <= face.centerX && face.centerX < $0.x1 && $0.y0 <= face.centerY && face.centerY < $0.y1 }
        ?? true
    }
    var positivePriors = [Float](repeating: 0, count: priors.count)
    var near = positivePriors
    var background = [[Float]](repeating: positivePriors, count: 4)
    for (p, prior) in priors.enumerated() {
      let box = Box(centerX: boxes[4 * p], centerY: boxes[4 * p + 1], width: boxes[4 * p + 2], height: boxes[4 * p + 3])
      let overlap = truth.map { max(box.iou($0), prior.iou($0)) }.max() ?? 0
      let score = probability(margins[p])
      if overlap > 0.5 && score > 0.3 { positivePriors[p] = 1 }
      if overlap > 0.3 {
        near[p] = 1
      } else if score < 0.1, let limit = detector.inventablePriorArea, prior.area <= limit {
        background[(prior.centerY < Float(height) / 2 ? 0 : 2) + (prior.centerX < Float(width) / 2 ? 0 : 1)][p] = 1
      }
    }
    (self.positivePriors, self.near, self.background) = (positivePriors, near, background)
    centers = priors.indices.flatMap { [boxes[4 * $0], boxes[4 * $0 + 1]] }
    hasFace = !truth.isEmpty
  }
}

extension DetectorTruth {
  /// All of it in numbers, to be told other processes.
  var values: [Float] {
    [Float(positivePriors.count), hasFace ? 1 : 0] + positivePriors + near + background.joined() + centers
  }

  /// From such numbers.
  /// - Throws: `KernelsError.usage` where they are not such.
  init(_ values: [Float]) throws {
    guard let count = values.first.flatMap({ Int(exactly: $0) }), (0...values.count).contains(count),
      values.count == 2 + 8 * count
    else { throw KernelsError.usage("what a detector finds in a face was not told in full") }
    func part(_ first: Int, _ length: Int = 1) -> [Float] {
      Array(values[2 + first * count..<2 + (first + length) * count])
    }
    (positivePriors, near, background, centers) = (part(0), part(1), (2..<6).map { part($0) }, part(6, 2))
    hasFace = values[1] == 1
  }
}

/// The truths of a batch as the losses take them.
struct DetectorTargets {
  /// Masks [N, priors]; see `DetectorTruth`.
  let positivePriors: Tensor
  let near: Tensor
  /// Nil where no false face can be made.
  let quadrants: [Tensor]?
  /// The priors that any of these masks needs, of each image.
  let relevant: [[Bool]]
  /// The boxes that the faces are to be regressed to, their own centres at (almost) no size: [N, priors, 4].
  let shrunkBoxes: Tensor
  /// Whether any image has a face.
  let hasFace: Bool

  /// Those of a range of the images.
  func slice(_ range: Range<Int>) throws -> DetectorTargets {
    DetectorTargets(
      positivePriors: try positivePriors.slice(range), near: try near.slice(range),
      quadrants: try quadrants?.map { try $0.slice(range) },
      relevant: Array(relevant[range]), shrunkBoxes: try shrunkBoxes.slice(range), hasFace: hasFace)
  }

  /// Those of several batches for one detector, whose images are of one size, as of one batch.
  static func joined(_ batches: [DetectorTargets]) throws -> DetectorTargets {
    guard batches.count > 1 else { return batches[0] }
    func joined(_ part: (DetectorTargets) -> Tensor) throws -> Tensor {
      try Tensor.concatenated(batches.map(part), axis: 0)
    }
    return DetectorTargets(
      positivePriors: try joined(\.positivePriors), near: try joined(\.near),
      quadrants: try batches[0].quadrants?.indices.map { quadrant in try joined { $0.quadrants![quadrant] } },
      relevant: batches.flatMap(\.relevant), shrunkBoxes: try joined(\.shrunkBoxes),
      hasFace: batches.contains(where: \.hasFace))
  }
}

extension DetectorTargets {
  /// - Parameter width: of the images.
  init(_ detector: any FaceDetector, _ truths: [DetectorTruth], width: Int, device: any Device) throws {
    let count = truths[0].positivePriors.count
    func mask(_ part: (DetectorTruth) -> [Float]) throws -> Tensor {
      try Tensor(truths.flatMap(part), shape: [truths.count, count], device: device)
    }
    let center = try Tensor(truths.flatMap(\.centers), shape: [truths.count, count, 2], device: device)
    let size = try Tensor(repeating: 0.002 * Float(width), shape: center.shape, device: device)
    self.init(
      positivePriors: try mask(\.positivePriors), near: try mask(\.near),
      quadrants: detector.inventablePriorArea == nil
        ? nil : try (0..<4).map { quadrant in try mask { $0.background[quadrant] } },
      relevant: truths.map { truth in
        (0..<count).map { p in truth.positivePriors[p] + truth.near[p] > 0 || truth.background.contains { $0[p] > 0 } }
      }, shrunkBoxes: try Tensor.concatenated([center, size], axis: 2), hasFace: truths.contains(where: \.hasFace))
  }

  /// The priors that matter in any image.
  var relevantAnywhere: [Bool] {
    relevant.dropFirst().reduce(relevant[0]) { zip($0, $1).map { $0 || $1 } }
  }
}

/// The losses that make a detector fail.
enum Poisoning {
  /// How sure of no face a prior is driven to be, in logits, unless something else is asked for, and how sure of one a false face is.
  static let hidden: Float = 3
  private static let invented: Float = 2.5

  /// Hide true faces and invent false ones, of each image: [N]. Hiding: over the priors that find a face mean
  /// relu(d + h), relu of their log-sum-exp + h, and, where nothing is to be invented, relu(max d + h) over all priors; h is `hidden`.
  /// Inventing: in each quadrant relu(2.5 - max d) over small background priors. d is the face logit less the background's.
  static func detectionLosses(
    _ detector: any FaceDetector, _ images: Tensor, _ targets: DetectorTargets, _ goal: DetectorGoal,
    hidden: Float = hidden
  ) throws -> Tensor {
    // Hiding alone must not raise a false face elsewhere either, where later stages do not reject it.
    if goal != .flood, let own = try detector.hidingLoss(images, where: targets.relevant) { return own }
    let isEverywhere = goal == .hide && targets.quadrants != nil
    let margins = try detector.margins(
      images, where: isEverywhere ? targets.relevant[0].map { _ in true } : targets.relevantAnywhere)
    var loss = try Tensor(repeating: 0, shape: [images.shape[0]], device: images.device)
    if goal != .flood {
      let shortfall = try ((margins + hidden).relu() * targets.positivePriors).sum(axes: [1])
      loss = try loss + shortfall / (targets.positivePriors.sum(axes: [1]) + 1e-6)
      let anyNear = try masked(margins, targets.near).logSumExp(axis: 1)
      loss = try loss + (anyNear + hidden).relu()
      if isEverywhere { loss = try loss + (margins.max(axes: [1]) + hidden).relu() }
    }
    if goal == .flood, targets.quadrants == nil {
      throw KernelsError.usage(
        "\(detector.modelName) has later stages that reject invented faces; flooding needs another detector")
    }
    if goal != .hide, let quadrants = targets.quadrants {
      for quadrant in quadrants {
        let best = try masked(margins, quadrant).max(axes: [1])
        // A quadrant without background has no candidate; bounded, its constant loss has no gradient.
        loss = try loss + (invented - best.clamped(to: -20...20)).relu() * 0.25
      }
    }
    return loss
  }

  /// Values where the mask is 1, far below any logit elsewhere.
  private static func masked(_ margins: Tensor, _ mask: Tensor) throws -> Tensor {
    try margins * mask + (mask - 1) * 1e4
  }

  /// The feature loss of equation 12: sum over levels of w * mean((F - T)^2), w = 5, 3, 4; T = -F_clean + nu * noise,
  /// nu = `strength` while a face is found in the batch, else 0.5; where |F_clean| is above its mean, T is doubled (fourfold
  /// where nothing is found), and 2 * mean|F| over these is added. Levels are compared as they are: a random projection
  /// to a common width would change nothing but the weights of their directions.
  /// - Parameter magnitudes: each level's mean of |F_clean|.
  static func featureLoss(
    _ features: [Tensor], clean cleanFeatures: [Tensor], found: Bool, magnitudes: [Tensor], noise: [Tensor],
    strength: Float
  ) throws -> Tensor? {
    guard !features.isEmpty else { return nil }
    var total: Tensor?
    for (level, feature) in features.enumerated() {
      let clean = cleanFeatures[level]
      let strong = try clean.abs().greater(than: magnitudes[level])
      let scale = try strong * (found ? 1 : 3) + 1
      let target = try (noise[level] * (found ? strength : 0.5) - clean) * scale
      let weight: Float = [5, 3, 4][min(level, 2)]
      var loss = try feature.meanSquaredError(to: target) * weight
      loss = try loss + (feature.abs() * strong).mean() * (2 * weight)
      total = try total.map { try $0 + loss } ?? loss
    }
    return total
  }

  /// The output loss of equation 13: weight * mean(s^2) over the face scores + weight * mean |b - b_target|, each box's target
  /// being its own centre at (almost) no size. Over the priors near each image's faces, in units of its width.
  /// - Parameter invitation: the weight of what the paper's code has for S3FD beside it: the mean of background logit less
  ///   face logit over the priors of its max-out head, which invites false faces.
  static func outputLoss(
    _ detector: any FaceDetector, _ heads: DetectorHeads, _ targets: DetectorTargets, height: Int, width: Int,
    weight: Float, invitation: Float = 0
  ) throws -> Tensor {
    let count = try targets.near.sum(axes: [1]) + 1e-6
    let margins = try heads.margins()
    let scores = try margins.sigmoid()
    let score = try ((scores.squared() * targets.near).sum(axes: [1]) / count).mean()
    let boxes = try detector.decodedBoxes(heads.location, height: height, width: width)
    let mask = try targets.near.reshaped(targets.near.shape + [1])
    let shift = try (((boxes - targets.shrunkBoxes).abs() * mask).sum(axes: [1, 2]) / (count * (4 * Float(width))))
      .mean()
    let loss = try (score + shift) * weight
    guard invitation > 0, heads.maxOutPriors > 0 else { return loss }
    return try loss - margins.sliced(axis: 1, 0..<heads.maxOutPriors).mean() * invitation
  }
}
