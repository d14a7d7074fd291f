import Foundation
import Kernels

/// RetinaFace with MobileNet-0.25 (Deng et al., CVPR 2020): a depthwise backbone, a feature pyramid, three context
/// modules (SSH), and heads for faces, boxes and five landmarks. Parameters carry the official names; batch norms are
/// folded into the convolutions, in the file or here.
public final class RetinaFace: FaceDetector {
  public static let name = "retinaface"

  public let inventablePriorArea: Float? = 64 * 64

  private var convolutions: [String: (weight: Tensor, bias: Tensor)] = [:]
  private let slope: Float = 0.1

  private static let strides = [8, 16, 32]
  private static let sizes: [[Float]] = [[16, 32], [64, 128], [256, 512]]
  /// Means of blue, green and red on 0...255 that the input is taken relative to.
  private static let means: [Float] = [104, 117, 123]

  /// Blocks of the three stages: the strides of their depthwise convolutions.
  private static let blocks: [[Int]] = [[1, 2, 1, 2, 1], [2, 1, 1, 1, 1, 1], [2, 1]]

  public init(_ state: StateDictionary) throws {
    var used: Set<String> = []
    func add(_ name: String, norm: String?, _ shape: [Int?]) throws {
      var weight = try state.require("\(name).weight", shape)
      let channels = weight.shape[0]
      used.insert("\(name).weight")
      var bias: Tensor
      if let norm, state.tensors["\(norm).running_mean"] != nil {
        let parts = try ["weight", "bias", "running_mean", "running_var"].map {
          try state.require("\(norm).\($0)", [channels])
        }
        used.formUnion(
          ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"].map { "\(norm).\($0)" })
        let scale = try parts[0] / (parts[3] + 1e-5).sqrt()
        weight = try weight * scale.reshaped([channels, 1, 1, 1])
        bias = try parts[1] - parts[2] * scale
      } else {
        bias = try state.require("\(name).bias", [channels])
        used.insert("\(name).bias")
      }
      convolutions[name] = (weight, bias)
    }
    try add("body.stage1.0.0", norm: "body.stage1.0.1", [nil, 3, 3, 3])
    for (stage, strides) in Self.blocks.enumerated() {
      for index in strides.indices {
        let name = "body.stage\(stage + 1).\(stage == 0 ? index + 1 : index)"
        try add("\(name).0", norm: "\(name).1", [nil, 1, 3, 3])
        try add("\(name).3", norm: "\(name).4", [nil, nil, 1, 1])
      }
    }
    for level in 1...3 { try add("fpn.output\(level).0", norm: "fpn.output\(level).1", [nil, nil, 1, 1]) }
    for level in 1...2 { try add("fpn.merge\(level).0", norm: "fpn.merge\(level).1", [nil, nil, 3, 3]) }
    for level in 1...3 {
      for part in ["conv3X3", "conv5X5_1", "conv5X5_2", "conv7X7_2", "conv7x7_3"] {
        try add("ssh\(level).\(part).0", norm: "ssh\(level).\(part).1", [nil, nil, 3, 3])
      }
    }
    for level in 0..<3 {
      try add("ClassHead.\(level).conv1x1", norm: nil, [4, nil, 1, 1])
      try add("BboxHead.\(level).conv1x1", norm: nil, [8, nil, 1, 1])
      try add("LandmarkHead.\(level).conv1x1", norm: nil, [20, nil, 1, 1])
    }
    try state.requireNothing(besides: used)
  }

  /// A convolution, and leaky ReLU of `slope` where one is given.
  private func convolve(
    _ x: Tensor, _ name: String, stride: Int = 1, padding: Int, groups: Int = 1, slope: Float = 1
  ) throws -> Tensor {
    let (weight, bias) = convolutions[name]!
    return try x.convolved(with: weight, bias: bias, stride: stride, padding: padding, groups: groups, slope: slope)
  }

  private func block(_ x: Tensor, _ name: String, stride: Int) throws -> Tensor {
    let depthwise = try convolve(x, "\(name).0", stride: stride, padding: 1, groups: x.shape[1], slope: slope)
    return try convolve(depthwise, "\(name).3", padding: 0, slope: slope)
  }

  private func context(_ x: Tensor, _ name: String) throws -> Tensor {
    let half = try convolve(x, "\(name).conv5X5_1.0", padding: 1, slope: slope)
    let seven = try convolve(half, "\(name).conv7X7_2.0", padding: 1, slope: slope)
    return try Tensor.concatenated(
      [
        convolve(x, "\(name).conv3X3.0", padding: 1), convolve(half, "\(name).conv5X5_2.0", padding: 1),
        convolve(seven, "\(name).conv7x7_3.0", padding: 1),
      ], axis: 1
    ).relu()
  }

  /// The three SSH outputs of images in [-1, 1].
  private func features(_ images: Tensor) throws -> [Tensor] {
    guard images.rank == 4, images.shape[1] == 3 else {
      throw KernelsError.shape(operation: "RetinaFace", "takes RGB images, not \(images.shape)")
    }
    // To 0...255, red and blue swapped, less the means.
    let planes = try (0..<3).map {
      try images.sliced(axis: 1, (2 - $0)..<(3 - $0)).scaled(by: 127.5, plus: 127.5 - Self.means[$0])
    }
    var x = try Tensor.concatenated(planes, axis: 1)
    x = try convolve(x, "body.stage1.0.0", stride: 2, padding: 1, slope: slope)
    var stages: [Tensor] = []
    for (stage, strides) in Self.blocks.enumerated() {
      for (index, stride) in strides.enumerated() {
        x = try block(x, "body.stage\(stage + 1).\(stage == 0 ? index + 1 : index)", stride: stride)
      }
      stages.append(x)
    }
    let lateral = try stages.enumerated().map {
      try convolve($1, "fpn.output\($0 + 1).0", padding: 0, slope: slope)
    }
    func merged(_ coarse: Tensor, _ fine: Tensor, _ name: String) throws -> Tensor {
      let up = try coarse.resized(height: fine.shape[2], width: fine.shape[3], mode: .nearest)
      return try convolve(fine + up, name, padding: 1, slope: slope)
    }
    let middle = try merged(lateral[2], lateral[1], "fpn.merge2.0")
    let fine = try merged(middle, lateral[0], "fpn.merge1.0")
    return try [context(fine, "ssh1"), context(middle, "ssh2"), context(lateral[2], "ssh3")]
  }

  /// A head over all levels: [N, priors, values], rows, columns, then anchors.
  private func head(_ features: [Tensor], _ name: String, values: Int) throws -> Tensor {
    try Tensor.concatenated(
      features.enumerated().map { level, feature in
        try convolve(feature, "\(name).\(level).conv1x1", padding: 0).permuted([0, 2, 3, 1])
          .reshaped([feature.shape[0], -1, values])
      }, axis: 1)
  }

  public func heads(_ images: Tensor) throws -> DetectorHeads {
    let features = try features(images)
    return DetectorHeads(
      confidence: try head(features, "ClassHead", values: 2), location: try head(features, "BboxHead", values: 4),
      features: features)
  }

  public func priorBoxes(height: Int, width: Int) -> [Box] {
    zip(Self.strides, Self.sizes).flatMap { stride, sizes -> [Box] in
      let (rows, columns) = ((height + stride - 1) / stride, (width + stride - 1) / stride)
      return (0..<rows * columns).flatMap { cell -> [Box] in
        let x = (Float(cell % columns) + 0.5) * Float(stride)
        let y = (Float(cell / columns) + 0.5) * Float(stride)
        return sizes.map { Box(centerX: x, centerY: y, width: $0, height: $0) }
      }
    }
  }

  public func decodedBoxes(_ location: Tensor, height: Int, width: Int) throws -> Tensor {
    let priors = priorBoxes(height: height, width: width)
    func constant(_ value: (Box) -> [Float]) throws -> Tensor {
      try Tensor(priors.flatMap(value), shape: [1, priors.count, 2], device: location.device)
    }
    let (center, size) = (try constant { [$0.centerX, $0.centerY] }, try constant { [$0.width, $0.height] })
    let moved = try center + location.sliced(axis: 2, 0..<2) * size * 0.1
    return try Tensor.concatenated([moved, (location.sliced(axis: 2, 2..<4) * 0.2).exp() * size], axis: 2)
  }

  public func detect(_ image: Tensor, threshold: Float) throws -> [Detection] {
    let levels = try Autograd.withoutRecording { try features(image.detached()) }
    let margins = try head(levels, "ClassHead", values: 2).values()
    let location = try head(levels, "BboxHead", values: 4).values()
    let landmarks = try head(levels, "LandmarkHead", values: 10).values()
    let priors = priorBoxes(height: image.shape[2], width: image.shape[3])
    var found: [Detection] = []
    for (i, prior) in priors.enumerated() {
      let score = probability(margins[2 * i + 1] - margins[2 * i])
      guard score >= threshold else { continue }
      func moved(_ dx: Float, _ dy: Float) -> Point {
        Point(x: prior.centerX + dx * 0.1 * prior.width, y: prior.centerY + dy * 0.1 * prior.height)
      }
      let center = moved(location[4 * i], location[4 * i + 1])
      let (width, height) = (exp(location[4 * i + 2] * 0.2), exp(location[4 * i + 3] * 0.2))
      let box = Box(
        centerX: center.x, centerY: center.y, width: prior.width * width, height: prior.height * height)
      let points = (0..<5).map { moved(landmarks[10 * i + 2 * $0], landmarks[10 * i + 2 * $0 + 1]) }
      found.append(Detection(box: box, score: score, landmarks: points))
    }
    let kept = nonMaximumSuppression(found.map(\.box), scores: found.map(\.score), threshold: 0.4)
    return kept.map { found[$0] }
  }
}
