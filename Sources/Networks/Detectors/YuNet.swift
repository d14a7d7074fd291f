import Kernels
import Pictures

/// YuNet (Wu, Peng, Yu, 2023), the face detector of OpenCV and libfacedetection, of the usual (yunet_n) or the small size (yunet_s), as
/// its weights tell: convolutions of one pixel, each followed by one a channel, in a backbone and a pyramid of three levels, without
/// anchors. Parameters carry the names
/// of the authors' PyTorch checkpoints; batch norms are folded in, in the file or here.
///
/// Boxes are [N, cells, 4]: how far the centre lies from the cell's corner, to the right and down, in cells, and the logarithms of
/// width and height in cells.
package final class YuNet: SingleShotDetector {
  package static let name = "yunet"

  package let inventablePriorArea: Float? = 64 * 64

  private let parameters: [String: Tensor]
  /// Whether it is of the small size: narrower at first, and heads read the pyramid itself.
  private let isSmall: Bool

  /// Pixels of the network's input a cell of each level.
  private static let strides = [8, 16, 32]
  /// What both sides of the input are multiples of.
  private static let multiple = 32
  /// The side of a prior in cells. Any cell may find a face of any size; this is as VGG's priors.
  private static let priorSide: Float = 4
  private static let suppression: Float = 0.3

  /// Channels into and out of the backbone's stages after the first.
  private static func stages(isSmall: Bool) -> [(from: Int, to: Int)] {
    let narrow = isSmall ? width / 2 : width
    return [(firstChannels, narrow), (narrow, width)] + [(Int, Int)](repeating: (width, width), count: stageCount - 2)
  }

  private static let stageCount = 5
  /// The stages whose output is halved, and the first of those that the pyramid reads.
  private static let halved: Set = [0, 2, 3, 4]
  private static let firstLevelStage = 3
  private static let firstChannels = 16, width = 64
  private static let heads = [("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10)]

  package convenience init(_ state: StateDictionary) throws {
    let isSmall = state.tensors["bbox_head.multi_level_share_convs.0.0.conv1.weight"] == nil
    try self.init(source: ParameterSource(state), isSmall: isSmall)
  }

  /// Fresh parameters, which find nothing: for tests.
  package convenience init(seed: UInt64, isSmall: Bool, device: any Device) throws {
    try self.init(source: ParameterSource(seed: seed, device: device, .kaiming), isSmall: isSmall)
  }

  private init(source: ParameterSource, isSmall: Bool) throws {
    var source = source
    func unit(_ name: String, _ from: Int, _ to: Int, isRectified: Bool = true) throws {
      try source.convolution("\(name).conv1", [to, from, 1, 1])
      try source.convolution("\(name).conv2", [to, 1, 3, 3], norm: isRectified ? "\(name).bn" : nil)
    }
    let first = "backbone.model0"
    try source.convolution("\(first).conv1", [Self.firstChannels, 3, 3, 3], norm: "\(first).bn1")
    try unit("\(first).conv2", Self.firstChannels, Self.firstChannels)
    for (index, (from, to)) in Self.stages(isSmall: isSmall).enumerated() {
      let name = "backbone.model\(index + 1)"
      try unit("\(name).conv1", from, from)
      try unit("\(name).conv2", from, to)
    }
    for level in Self.strides.indices {
      try unit("neck.lateral_convs.\(level)", Self.width, Self.width)
      if !isSmall { try unit("bbox_head.multi_level_share_convs.\(level).0", Self.width, Self.width) }
      for (head, values) in Self.heads {
        try unit("bbox_head.multi_level_\(head).\(level)", Self.width, values, isRectified: false)
      }
    }
    var parameters = try source.finished()
    parameters["\(first).conv1.weight"] = try SingleShot.firstWeight(parameters["\(first).conv1.weight"]!)
    (self.parameters, self.isSmall) = (parameters, isSmall)
  }

  // MARK: The network

  /// A convolution of one pixel and one a channel.
  private func unit(_ x: Tensor, _ name: String, isRectified: Bool = true) throws -> Tensor {
    let y = try x.convolved(with: parameters["\(name).conv1.weight"]!, bias: parameters["\(name).conv1.bias"]!)
    return try y.convolved(
      with: parameters["\(name).conv2.weight"]!, bias: parameters["\(name).conv2.bias"]!, padding: 1,
      groups: y.shape[1], activation: isRectified ? .relu : .identity)
  }

  /// The maps of stride 8, 16 and 32 of images in [-1, 1].
  private func features(_ images: Tensor) throws -> [Tensor] {
    try SingleShot.requireColours(images, Self.name)
    let grid = Grid(height: images.shape[2], width: images.shape[3])
    // It was trained on 0...255, blue first, of which all but the shift is in the first weight. Black is added at the far edges.
    var x = try (images + 1).padded(
      top: 0, bottom: grid.height - images.shape[2], left: 0, right: grid.width - images.shape[3])
    x = try x.convolved(
      with: parameters["backbone.model0.conv1.weight"]!, bias: parameters["backbone.model0.conv1.bias"]!, stride: 2,
      padding: 1, activation: .relu)
    x = try unit(x, "backbone.model0.conv2")
    var levels: [Tensor] = []
    for stage in 0...Self.stageCount {
      if stage > 0 {
        x = try unit(unit(x, "backbone.model\(stage).conv1"), "backbone.model\(stage).conv2")
        if stage >= Self.firstLevelStage { levels.append(x) }
      }
      if Self.halved.contains(stage) { x = try x.maxPooled(size: 2) }
    }
    for level in levels.indices.reversed() {
      levels[level] = try unit(levels[level], "neck.lateral_convs.\(level)")
      guard level > 0 else { break }
      let below = levels[level - 1]
      let enlarged = try levels[level].resized(height: below.shape[2], width: below.shape[3], mode: .nearest)
      levels[level - 1] = try below + enlarged
    }
    return levels
  }

  package func heads(_ images: Tensor) throws -> DetectorHeads {
    let features = try features(images)
    return try heads(features, shared(features))
  }

  /// What the heads of each level read.
  private func shared(_ features: [Tensor]) throws -> [Tensor] {
    guard !isSmall else { return features }
    return try features.enumerated().map { try unit($1, "bbox_head.multi_level_share_convs.\($0).0") }
  }

  private func head(_ shared: [Tensor], _ head: String, values: Int) throws -> Tensor {
    try SingleShot.joined(
      shared.enumerated().map { try unit($1, "bbox_head.multi_level_\(head).\($0)", isRectified: false) },
      values: values)
  }

  private func heads(_ features: [Tensor], _ shared: [Tensor]) throws -> DetectorHeads {
    // The score is the geometric mean of two probabilities, and log(1 / score) the mean of softplus of the logits, negated. The
    // margin is -log(1 / score - 1); a small number keeps it finite where both are sure.
    let misses = try ["cls", "obj"].map { try head(shared, $0, values: 1).scaled(by: -1).softplus() }
    let cost = try (misses[0] + misses[1]) * 0.5
    let margin = try (cost + (cost.scaled(by: -1).exp().scaled(by: -1, plus: 1) + 1e-7).log()).scaled(by: -1)
    return DetectorHeads(
      confidence: try SingleShot.binary(margin), location: try head(shared, "bbox", values: 4), features: features)
  }

  // MARK: Boxes

  /// The input's sides.
  private struct Grid {
    var height: Int, width: Int

    init(height: Int, width: Int) {
      func side(_ pixels: Int) -> Int { (pixels + multiple - 1) / multiple * multiple }
      (self.height, self.width) = (side(height), side(width))
    }
  }

  package func priorBoxes(height: Int, width: Int) -> [Box] {
    let grid = Grid(height: height, width: width)
    return Self.strides.flatMap { stride in
      SingleShot.priors(
        rows: grid.height / stride, columns: grid.width / stride, stride: stride,
        sizes: [Self.priorSide * Float(stride)]
      ).map { $0.shifted(x: -Float(stride) / 2, y: -Float(stride) / 2) }
    }
  }

  package func decodedBoxes(_ location: Tensor, height: Int, width: Int) throws -> Tensor {
    let priors = priorBoxes(height: height, width: width)
    let cell = try Tensor(
      priors.map { $0.width / Self.priorSide }, shape: [1, priors.count, 1], device: location.device)
    let centers = try SingleShot.centers(of: priors, on: location.device)
    return try SingleShot.decoded(location, around: centers, unit: cell)
  }

  package func detect(_ image: Tensor, threshold: Float) throws -> [Detection] {
    let (height, width) = (image.shape[2], image.shape[3])
    let (found, points) = try Autograd.withoutRecording {
      let features = try features(image.detached())
      let shared = try shared(features)
      return try (heads(features, shared), head(shared, "kps", values: 10).values())
    }
    return try detections(found, height: height, width: width, threshold: threshold, landmarks: points)
  }

  func detections(_ heads: DetectorHeads, height: Int, width: Int, threshold: Float, landmarks: [Float]?) throws
    -> [Detection]
  {
    let boxes = try decodedBoxes(heads.location, height: height, width: width).values()
    let priors = priorBoxes(height: height, width: width)
    let faces = try SingleShot.candidates(heads, threshold: threshold) { i, score in
      let prior = priors[i]
      let cell = prior.width / Self.priorSide
      let points = SingleShot.landmarks(landmarks, of: i) { x, y in
        Point(x: prior.centerX + x * cell, y: prior.centerY + y * cell)
      }
      return Detection(box: SingleShot.box(boxes, i), score: score, landmarks: points)
    }
    // OpenCV compares boxes of whole pixels.
    let whole = faces.map { face in
      let box = face.box
      let (x, y) = (box.x0.rounded(.towardZero), box.y0.rounded(.towardZero))
      return Box(
        x0: x, y0: y, x1: x + box.width.rounded(.towardZero), y1: y + box.height.rounded(.towardZero))
    }
    return nonMaximumSuppression(whole, scores: faces.map(\.score), threshold: Self.suppression).map { faces[$0] }
  }
}

@available(*, unavailable)
extension YuNet: Sendable {}
