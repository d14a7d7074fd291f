import Kernels
import Pictures

/// What detectors of one shot (SSD; Liu et al., ECCV 2016) have in common: a prior a position and size, two logits and four
/// regressed values each, in units of the prior times 0.1 (centre) and as logarithms times 0.2 (size).
enum SingleShot {
  /// Means of blue, green and red on 0...255 that the input is taken relative to.
  private static let means: [Float] = [104, 117, 123]

  /// The networks were trained on 0...255, blue first, less the means. All but the means is in their first weight
  /// (`firstWeight`), so that nothing is left to do to images [N, 3, H, W] in [-1, 1] but an addition.
  static func centred(_ images: Tensor, _ network: String) throws -> Tensor {
    try requireColours(images, network)
    let shifts = means.reversed().map { (127.5 - $0) / 127.5 }
    return try images + Tensor(shifts, shape: [3, 1, 1], device: images.device)
  }

  /// Refuses what is not [N, 3, H, W] with sides of at least so many pixels.
  static func requireColours(_ images: Tensor, _ network: String, leastSide: Int = 1) throws {
    guard images.rank == 4, images.shape[1] == 3, min(images.shape[2], images.shape[3]) >= leastSide else {
      let sides = leastSide > 1 ? " of at least \(leastSide) pixels a side" : ""
      throw KernelsError.shape(operation: network, "takes RGB images\(sides), not \(images.shape)")
    }
  }

  /// The weight [out, 3, k, k] of a network's first convolution for images that are `centred`.
  static func firstWeight(_ weight: Tensor) throws -> Tensor {
    try Tensor.concatenated((0..<3).map { try weight.sliced(axis: 1, (2 - $0)..<(3 - $0)) }, axis: 1) * 127.5
  }

  /// Maps [N, anchors * values, h, w] of all levels as [N, priors, values]: rows, columns, then anchors.
  static func joined(_ maps: [Tensor], values: Int) throws -> Tensor {
    try Tensor.concatenated(
      maps.map { try $0.permuted([0, 2, 3, 1]).reshaped([$0.shape[0], -1, values]) }, axis: 1)
  }

  /// Square priors centred on the positions of a level.
  static func priors(rows: Int, columns: Int, stride: Int, sizes: [Float]) -> [Box] {
    (0..<rows * columns).flatMap { cell -> [Box] in
      let x = (Float(cell % columns) + 0.5) * Float(stride)
      let y = (Float(cell / columns) + 0.5) * Float(stride)
      return sizes.map { Box(centerX: x, centerY: y, width: $0, height: $0) }
    }
  }

  /// Regressions [N, priors, 4] as boxes in pixels: centre, width, height. Differentiable.
  static func decoded(_ location: Tensor, _ priors: [Box]) throws -> Tensor {
    let sizes = priors.flatMap { [$0.width, $0.height] }
    let size = try Tensor(sizes, shape: [1, priors.count, 2], device: location.device)
    let moved = try centers(of: priors, on: location.device) + location.sliced(axis: 2, 0..<2) * size * 0.1
    return try Tensor.concatenated([moved, sides(ofLogarithms: location.sliced(axis: 2, 2..<4) * 0.2) * size], axis: 2)
  }

  /// The same of how far boxes lie from centres [1, priors, 2] and the logarithms of their sides, in units that broadcast to those.
  static func decoded(_ location: Tensor, around centers: Tensor, unit: Tensor) throws -> Tensor {
    let moved = try centers + location.sliced(axis: 2, 0..<2) * unit
    return try Tensor.concatenated([moved, sides(ofLogarithms: location.sliced(axis: 2, 2..<4)) * unit], axis: 2)
  }

  /// Sides of boxes from their logarithms, at most e^10 units, more than any picture has: where an untrained network's overflowed, a
  /// mask that leaves them out made NaN of them.
  private static func sides(ofLogarithms logarithms: Tensor) throws -> Tensor {
    try logarithms.clamped(to: -10...10).exp()
  }

  /// The priors' centres, x and y: [1, priors, 2].
  static func centers(of priors: [Box], on device: any Device) throws -> Tensor {
    try Tensor(priors.flatMap { [$0.centerX, $0.centerY] }, shape: [1, priors.count, 2], device: device)
  }

  /// The faces that heads of one image say there are, after non-maximum suppression, best first.
  /// - Parameter landmarks: what to add to a face, by its prior.
  static func detections(
    _ heads: DetectorHeads, _ priors: [Box], threshold: Float, suppression: Float,
    landmarks: (Int) -> [Point] = { _ in [] }
  ) throws -> [Detection] {
    try detections(
      heads, priors, threshold: threshold,
      suppress: { suppressed($0, threshold: suppression) }, landmarks: landmarks)
  }

  /// - Parameter suppress: what is left of the faces found, best first.
  static func detections(
    _ heads: DetectorHeads, _ priors: [Box], threshold: Float, suppress: ([Detection]) -> [Detection],
    landmarks: (Int) -> [Point] = { _ in [] }
  ) throws -> [Detection] {
    let boxes = try decoded(heads.location, priors).values()
    let found = try candidates(heads, threshold: threshold) { i, score in
      Detection(box: box(boxes, i), score: score, landmarks: landmarks(i))
    }
    return suppress(found)
  }

  /// What the priors of one image's heads that score at least `threshold` find, in their order.
  /// - Parameter face: what a prior of that score finds.
  static func candidates(
    _ heads: DetectorHeads, threshold: Float, _ face: (_ prior: Int, _ score: Float) -> Detection
  ) throws -> [Detection] {
    try heads.margins().values().enumerated().compactMap { prior, margin in
      let score = probability(margin)
      return score >= threshold ? face(prior, score) : nil
    }
  }

  /// The five landmarks of a prior by their ten values; none where there are no values.
  /// - Parameter point: where a landmark of two values lies.
  static func landmarks(_ values: [Float]?, of prior: Int, _ point: (Float, Float) -> Point) -> [Point] {
    guard let values else { return [] }
    return (5 * prior..<5 * prior + 5).map { point(values[2 * $0], values[2 * $0 + 1]) }
  }

  /// The faces that non-maximum suppression leaves, best first.
  static func suppressed(_ found: [Detection], threshold: Float) -> [Detection] {
    nonMaximumSuppression(found.map(\.box), scores: found.map(\.score), threshold: threshold).map { found[$0] }
  }

  /// The box of a prior among decoded ones: centre, width, height.
  static func box(_ decoded: [Float], _ prior: Int) -> Box {
    Box(
      centerX: decoded[4 * prior], centerY: decoded[4 * prior + 1], width: decoded[4 * prior + 2],
      height: decoded[4 * prior + 3])
  }

  /// Logits [N, priors, 2], background first, of networks that have one logit a prior, [N, priors, 1]: the background's is 0.
  static func binary(_ logits: Tensor) throws -> Tensor { try logits.padded(axis: 2, before: 1, after: 0) }
}

/// VGG-16's convolutions as single-shot detectors use them, with two more and four extra layers: six sources at strides
/// 4 to 128. Parameters carry the official names (`vgg.N`, `extras.N`).
struct VGGSources {
  private let parameters: [String: Tensor]
  private let dilation: Int

  /// Positions in `vgg` of the convolutions and their channels; a pooling comes before those marked.
  private static let layers: [(position: Int, channels: Int, isPooled: Bool)] = [
    (0, 64, false), (2, 64, false), (5, 128, true), (7, 128, false), (10, 256, true), (12, 256, false),
    (14, 256, false), (17, 512, true), (19, 512, false), (21, 512, false), (24, 512, true), (26, 512, false),
    (28, 512, false),
  ]

  static let channels = [256, 512, 512, 1024, 512, 256]
  static let strides = [4, 8, 16, 32, 64, 128]

  /// - Parameter dilation: of the first convolution after VGG's own.
  init(_ source: inout ParameterSource, dilation: Int) throws {
    self.dilation = dilation
    var channels = 3
    for layer in Self.layers {
      try source.layer("vgg.\(layer.position)", [layer.channels, channels, 3, 3], bias: layer.channels)
      channels = layer.channels
    }
    try source.layer("vgg.31", [1024, 512, 3, 3], bias: 1024)
    try source.layer("vgg.33", [1024, 1024, 1, 1], bias: 1024)
    for (i, (to, from, side)) in [(256, 1024, 1), (512, 256, 3), (128, 512, 1), (256, 128, 3)].enumerated() {
      try source.layer("extras.\(i)", [to, from, side, side], bias: to)
    }
    var parameters = source.parameters
    parameters["vgg.0.weight"] = try SingleShot.firstWeight(parameters["vgg.0.weight"]!)
    self.parameters = parameters
  }

  /// The six sources of centred images, rectified.
  func callAsFunction(_ images: Tensor) throws -> [Tensor] {
    func convolve(_ x: Tensor, _ name: String, stride: Int = 1, padding: Int = 0, dilation: Int = 1) throws -> Tensor {
      try x.convolved(
        with: parameters["\(name).weight"]!, bias: parameters["\(name).bias"]!, stride: stride, padding: padding,
        dilation: dilation, activation: .relu)
    }
    var sources: [Tensor] = []
    var x = images
    for layer in Self.layers {
      // The third pooling keeps a last odd row and column.
      if layer.isPooled {
        if layer.position >= 17 { sources.append(x) }
        x = try x.maxPooled(size: 2, ceilMode: layer.position == 17)
      }
      x = try convolve(x, "vgg.\(layer.position)", padding: 1)
    }
    sources.append(x)
    x = try convolve(x.maxPooled(size: 2), "vgg.31", padding: dilation, dilation: dilation)
    x = try convolve(x, "vgg.33")
    sources.append(x)
    for i in [0, 2] {
      x = try convolve(convolve(x, "extras.\(i)"), "extras.\(i + 1)", stride: 2, padding: 1)
      sources.append(x)
    }
    return sources
  }

  /// One square prior a position of each source, four times as large as its stride.
  static func priorBoxes(height: Int, width: Int) -> [Box] {
    func extents(_ side: Int) -> [Int] {
      let third = side / 2 / 2
      let fourth = (third + 1) / 2
      let (fifth, sixth) = (fourth / 2, fourth / 2 / 2)
      return [third, fourth, fifth, sixth, (sixth + 1) / 2, ((sixth + 1) / 2 + 1) / 2]
    }
    return zip(zip(extents(height), extents(width)), strides).flatMap { extent, stride in
      SingleShot.priors(rows: extent.0, columns: extent.1, stride: stride, sizes: [Float(4 * stride)])
    }
  }

  /// The least pixels a side that leave every source at least one position.
  static let leastSide = 32
}

/// A detector of one shot: its heads say all that it finds.
protocol SingleShotDetector: FaceDetector {
  /// The faces that heads of one image say there are, best first.
  /// - Parameter landmarks: ten values a prior, as the network gives them; nil for faces without.
  func detections(_ heads: DetectorHeads, height: Int, width: Int, threshold: Float, landmarks: [Float]?) throws
    -> [Detection]
}

extension SingleShotDetector {
  package func faces(in heads: DetectorHeads, height: Int, width: Int, threshold: Float) throws -> [Box]? {
    try detections(heads, height: height, width: width, threshold: threshold, landmarks: nil).map(\.box)
  }
}

/// One without landmarks.
protocol HeadsDetector: SingleShotDetector {
  /// What is left of the faces found, best first.
  func suppressed(_ found: [Detection]) -> [Detection]
}

extension HeadsDetector {
  package func detect(_ image: Tensor, threshold: Float) throws -> [Detection] {
    try detections(
      Autograd.withoutRecording { try heads(image.detached()) }, height: image.shape[2], width: image.shape[3],
      threshold: threshold, landmarks: nil)
  }

  func detections(_ heads: DetectorHeads, height: Int, width: Int, threshold: Float, landmarks: [Float]?) throws
    -> [Detection]
  {
    try SingleShot.detections(
      heads, priorBoxes(height: height, width: width), threshold: threshold, suppress: suppressed)
  }
}

/// One on VGG's six sources, a prior a position.
protocol VGGDetector: HeadsDetector {}

extension VGGDetector {
  package var inventablePriorArea: Float? { 64 * 64 }

  package func priorBoxes(height: Int, width: Int) -> [Box] { VGGSources.priorBoxes(height: height, width: width) }

  func suppressed(_ found: [Detection]) -> [Detection] { SingleShot.suppressed(found, threshold: 0.3) }
}

extension Tensor {
  /// Each pixel's channels brought to Euclidean length 1, then multiplied by a scale a channel (Liu, Rabinovich, Berg,
  /// "ParseNet", 2015).
  func l2Normalized(scale: Tensor) throws -> Tensor {
    // The small number inside the root keeps its gradient finite where all channels are 0.
    let length = try (squared().sum(axes: [1], keepingAxes: true) + 1e-20).sqrt()
    return try self / length * scale.reshaped([1, scale.count, 1, 1])
  }
}
