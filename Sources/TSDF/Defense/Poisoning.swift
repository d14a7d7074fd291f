import Foundation
import Kernels

/// What a detector made of the clean images of a batch, and so what poisoning works against.
struct DetectorTargets {
  /// Clean margins and features, constants.
  let features: [Tensor]
  /// 1 for the priors that find a true face, [N, priors]; rows of zeros where nothing is found.
  let finders: Tensor
  /// 1 for all priors near a true face, [N, priors].
  let near: Tensor
  /// The priors that any of these masks needs, in any image.
  let relevant: [Bool]
  /// For each quadrant, 1 for the priors on its background that could be made small false faces; nil where none can.
  let quadrants: [Tensor]?
  /// The boxes that the true faces are regressed to, shrunk to their centres: [N, priors, 4] as centre and size.
  let shrunkBoxes: Tensor
  /// Regions of each image that later stages look at.
  var regions: [[Box]]
  /// Whether each image has a face at all.
  let hasFace: [Bool]

  /// - Parameter images: clean, [N, 3, H, W].
  init(_ detector: any FaceDetector, images: Tensor, regionCount: Int = 4) throws {
    let (count, height, width) = (images.shape[0], images.shape[2], images.shape[3])
    let heads = try Autograd.withoutRecording { try detector.heads(images.detached()) }
    let priors = detector.priorBoxes(height: height, width: width)
    let margins = try heads.margins().values()
    let decoded = try detector.decodedBoxes(heads.location, height: height, width: width)
    let boxes = try decoded.values()
    var finders = [Float](repeating: 0, count: count * priors.count)
    var near = finders
    var background = [[Float]](repeating: finders, count: 4)
    var regions: [[Box]] = []
    var hasFace: [Bool] = []
    for n in 0..<count {
      let image = try images.sliced(axis: 0, n..<n + 1)
      let truth = try detector.detect(image, threshold: 0.7).map(\.box)
      hasFace.append(!truth.isEmpty)
      for (p, prior) in priors.enumerated() {
        let at = n * priors.count + p
        let b = at * 4
        let box = Box(centerX: boxes[b], centerY: boxes[b + 1], width: boxes[b + 2], height: boxes[b + 3])
        let overlap = truth.map { max(box.iou($0), prior.iou($0)) }.max() ?? 0
        let score = probability(margins[at])
        if overlap > 0.5 && score > 0.3 { finders[at] = 1 }
        if overlap > 0.3 { near[at] = 1 }
        if overlap <= 0.3, score < 0.1, let limit = detector.inventablePriorArea, prior.area <= limit {
          background[(prior.centerY < Float(height) / 2 ? 0 : 2) + (prior.centerX < Float(width) / 2 ? 0 : 1)][at] = 1
        }
      }
      let candidates = try detector.candidateRegions(image)
      regions.append(Array((truth + candidates).prefix(regionCount)))
    }
    relevant = priors.indices.map { p in
      (0..<count).contains { n in
        let at = n * priors.count + p
        return finders[at] + near[at] > 0 || background.contains { $0[at] > 0 }
      }
    }
    let shape = [count, priors.count]
    let device = images.device
    func constant(_ values: [Float]) throws -> Tensor { try Tensor(values, shape: shape, device: device) }
    self.features = heads.features.map { $0.detached() }
    self.finders = try constant(finders)
    self.near = try constant(near)
    quadrants = detector.inventablePriorArea == nil ? nil : try background.map(constant)
    let center = try decoded.sliced(axis: 2, 0..<2)
    shrunkBoxes = try Tensor.concatenated(
      [center, Tensor(repeating: 0.002 * Float(width), shape: center.shape, device: device)], axis: 2)
    (self.regions, self.hasFace) = (regions, hasFace)
  }
}

/// The losses that make a detector fail.
enum Poisoning {
  /// How sure of no face a prior is driven to be, in logits, and how sure of one a false face is.
  private static let hidden: Float = 3, invented: Float = 2.5

  /// Hide true faces and invent false ones: over the priors that find a face mean relu(d + 3), and relu of their
  /// log-sum-exp + 3; in each quadrant relu(2.5 - max d) over small background priors; and relu(d + 3) for what later
  /// stages say of the faces' regions. d is the face logit less the background's.
  static func detectionLoss(_ detector: any FaceDetector, _ images: Tensor, _ targets: DetectorTargets) throws -> Tensor
  {
    let margins = try detector.margins(images, where: targets.relevant)
    let finderCount = try targets.finders.sum() + 1e-6
    var loss = try ((margins + hidden).relu() * targets.finders).sum() / finderCount
    let anyNear = try masked(margins, targets.near).logSumExp(axis: 1)
    loss = try loss + (anyNear + hidden).relu().mean()
    if let quadrants = targets.quadrants {
      for quadrant in quadrants {
        let best = try masked(margins, quadrant).max(axes: [1])
        // A quadrant without background has no candidate; bounded, its constant loss has no gradient.
        loss = try loss + (invented - best.clamped(to: -20...20)).relu().mean() * 0.25
      }
    }
    if let later = try detector.regionMargins(images, regions: targets.regions) {
      loss = try loss + (later + hidden).relu().mean()
    }
    return loss
  }

  /// Values where the mask is 1, far below any logit elsewhere.
  private static func masked(_ margins: Tensor, _ mask: Tensor) throws -> Tensor {
    try margins * mask + (mask - 1) * 1e4
  }

  /// The feature loss of equation 12: sum over levels of w * mean((F - T)^2), w = 5, 3, 4; T = -F_clean + nu * noise,
  /// nu = 0.2 while a face is found in the batch, else 0.5; where |F_clean| is above its mean, T is doubled (fourfold
  /// where nothing is found), and 2 * mean|F| over these is added. Levels are compared as they are: a random projection
  /// to a common width would change nothing but the weights of their directions.
  static func featureLoss(_ features: [Tensor], _ targets: DetectorTargets, noise: [Tensor]) throws -> Tensor? {
    guard !features.isEmpty else { return nil }
    let found = targets.hasFace.contains(true)
    var total: Tensor?
    for (level, feature) in features.enumerated() {
      let clean = targets.features[level]
      let magnitude = try clean.abs()
      let strong = try magnitude.greater(than: magnitude.mean())
      let scale = try strong * (found ? 1 : 3) + 1
      let target = try (noise[level] * (found ? 0.2 : 0.5) - clean) * scale
      let weight: Float = [5, 3, 4][min(level, 2)]
      var loss = try feature.meanSquaredError(to: target) * weight
      loss = try loss + (feature.abs() * strong).mean() * (2 * weight)
      total = try total.map { try $0 + loss } ?? loss
    }
    return total
  }

  /// The output loss of equation 13: 12 * mean(s^2) over the face scores + 12 * mean |b - b_target|, each box's target
  /// being its own centre at (almost) no size. Over the priors near true faces, in units of the image's width.
  static func outputLoss(
    _ detector: any FaceDetector, _ heads: DetectorHeads, _ targets: DetectorTargets, height: Int, width: Int
  ) throws -> Tensor {
    let count = try targets.near.sum() + 1e-6
    let scores = try heads.margins().sigmoid()
    let score = try (scores.squared() * targets.near).sum() / count
    let boxes = try detector.decodedBoxes(heads.location, height: height, width: width)
    let mask = try targets.near.reshaped(targets.near.shape + [1])
    let shift = try ((boxes - targets.shrunkBoxes).abs() * mask).sum() / (count * (4 * Float(width)))
    return try score * 12 + shift * 12
  }
}
