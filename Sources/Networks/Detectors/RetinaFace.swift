import Foundation
import Kernels
import Pictures

/// RetinaFace (Deng et al., CVPR 2020) with MobileNet-0.25 or ResNet-50, as its weights tell: a feature pyramid on three
/// stages of the backbone, three context modules (SSH), and heads for faces, boxes and five landmarks. Parameters carry the
/// official names; batch norms are folded into the convolutions, in the file or here.
package final class RetinaFace: SingleShotDetector {
  package static let name = "retinaface"
  static let residualName = "retinaface-resnet50"

  package var modelName: String { isResNet ? Self.residualName : Self.name }

  package let inventablePriorArea: Float? = 64 * 64

  private var convolutions: [String: (weight: Tensor, bias: Tensor)] = [:]
  private let isResNet: Bool
  /// In pyramid and context modules: narrow ones leak.
  private let activation: Activation

  private static let strides = [8, 16, 32]
  private static let sizes: [[Float]] = [[16, 32], [64, 128], [256, 512]]
  private static let suppression: Float = 0.4

  /// MobileNet's blocks of the three stages: the strides of their depthwise convolutions.
  private static let blocks: [[Int]] = [[1, 2, 1, 2, 1], [2, 1, 1, 1, 1, 1], [2, 1]]
  private static var mobileActivation: Activation { .leakyReLU(0.1) }
  /// ResNet-50's bottlenecks in its four layers.
  private static let bottlenecks = [3, 4, 6, 3]

  package init(_ state: StateDictionary) throws {
    isResNet = state.tensors["body.layer1.0.conv1.weight"] != nil
    let isNarrow = try state.require("fpn.output1.0.weight", [nil, nil, 1, 1]).shape[0] <= 64
    activation = isNarrow ? .leakyReLU(0.1) : .relu
    var used: Set<String> = []
    func add(_ name: String, norm: String?, _ shape: [Int?]) throws {
      let folded = try state.convolution(name, norm: norm, shape)
      convolutions[name] = (folded.weight, folded.bias)
      used.formUnion(folded.names)
    }
    if isResNet {
      try add("body.conv1", norm: "body.bn1", [64, 3, 7, 7])
      for (layer, count) in Self.bottlenecks.enumerated() {
        for index in 0..<count {
          let name = "body.layer\(layer + 1).\(index)"
          for (part, side) in [(1, 1), (2, 3), (3, 1)] {
            try add("\(name).conv\(part)", norm: "\(name).bn\(part)", [nil, nil, side, side])
          }
          if index == 0 { try add("\(name).downsample.0", norm: "\(name).downsample.1", [nil, nil, 1, 1]) }
        }
      }
    } else {
      try add("body.stage1.0.0", norm: "body.stage1.0.1", [nil, 3, 3, 3])
      for (stage, strides) in Self.blocks.enumerated() {
        for index in strides.indices {
          let name = Self.blockName(stage, index)
          try add("\(name).0", norm: "\(name).1", [nil, 1, 3, 3])
          try add("\(name).3", norm: "\(name).4", [nil, nil, 1, 1])
        }
      }
    }
    let first = isResNet ? "body.conv1" : "body.stage1.0.0"
    convolutions[first]!.weight = try SingleShot.firstWeight(convolutions[first]!.weight)
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

  /// A convolution and its activation.
  private func convolve(
    _ x: Tensor, _ name: String, stride: Int = 1, padding: Int, groups: Int = 1, activation: Activation = .identity
  ) throws -> Tensor {
    let (weight, bias) = convolutions[name]!
    return try x.convolved(
      with: weight, bias: bias, stride: stride, padding: padding, groups: groups, activation: activation)
  }

  /// The first stage starts with a convolution of its own.
  private static func blockName(_ stage: Int, _ index: Int) -> String {
    "body.stage\(stage + 1).\(stage == 0 ? index + 1 : index)"
  }

  /// MobileNet's three stages.
  private func mobileStages(_ images: Tensor) throws -> [Tensor] {
    let activation = Self.mobileActivation
    var x = try convolve(images, "body.stage1.0.0", stride: 2, padding: 1, activation: activation)
    return try Self.blocks.enumerated().map { stage, strides in
      for (index, stride) in strides.enumerated() {
        let name = Self.blockName(stage, index)
        let depthwise = try convolve(
          x, "\(name).0", stride: stride, padding: 1, groups: x.shape[1], activation: activation)
        x = try convolve(depthwise, "\(name).3", padding: 0, activation: activation)
      }
      return x
    }
  }

  /// ResNet-50's last three layers.
  private func residualStages(_ images: Tensor) throws -> [Tensor] {
    var x = try convolve(images, "body.conv1", stride: 2, padding: 3, activation: .relu)
    x = try x.maxPooled(size: 3, stride: 2, padding: 1)
    var stages: [Tensor] = []
    for (layer, count) in Self.bottlenecks.enumerated() {
      for index in 0..<count {
        let name = "body.layer\(layer + 1).\(index)"
        let stride = layer > 0 && index == 0 ? 2 : 1
        var y = try convolve(x, "\(name).conv1", padding: 0, activation: .relu)
        y = try convolve(y, "\(name).conv2", stride: stride, padding: 1, activation: .relu)
        y = try convolve(y, "\(name).conv3", padding: 0)
        let shortcut = index == 0 ? try convolve(x, "\(name).downsample.0", stride: stride, padding: 0) : x
        x = try (y + shortcut).relu()
      }
      stages.append(x)
    }
    return Array(stages.dropFirst())
  }

  private func context(_ x: Tensor, _ name: String) throws -> Tensor {
    let half = try convolve(x, "\(name).conv5X5_1.0", padding: 1, activation: activation)
    let seven = try convolve(half, "\(name).conv7X7_2.0", padding: 1, activation: activation)
    return try Tensor.concatenated(
      [
        convolve(x, "\(name).conv3X3.0", padding: 1, activation: .relu),
        convolve(half, "\(name).conv5X5_2.0", padding: 1, activation: .relu),
        convolve(seven, "\(name).conv7x7_3.0", padding: 1, activation: .relu),
      ], axis: 1)
  }

  /// The three SSH outputs of images in [-1, 1].
  private func features(_ images: Tensor) throws -> [Tensor] {
    let input = try SingleShot.centred(images, Self.name)
    let stages = try isResNet ? residualStages(input) : mobileStages(input)
    let lateral = try stages.enumerated().map {
      try convolve($1, "fpn.output\($0 + 1).0", padding: 0, activation: activation)
    }
    func merged(_ coarse: Tensor, _ fine: Tensor, _ name: String) throws -> Tensor {
      let up = try coarse.resized(height: fine.shape[2], width: fine.shape[3], mode: .nearest)
      return try convolve(fine + up, name, padding: 1, activation: activation)
    }
    let middle = try merged(lateral[2], lateral[1], "fpn.merge2.0")
    let fine = try merged(middle, lateral[0], "fpn.merge1.0")
    return try [context(fine, "ssh1"), context(middle, "ssh2"), context(lateral[2], "ssh3")]
  }

  /// A head over all levels: [N, priors, values].
  private func head(_ features: [Tensor], _ name: String, values: Int) throws -> Tensor {
    try SingleShot.joined(
      features.enumerated().map { level, feature in try convolve(feature, "\(name).\(level).conv1x1", padding: 0) },
      values: values)
  }

  package func heads(_ images: Tensor) throws -> DetectorHeads { try heads(features(images)) }

  private func heads(_ features: [Tensor]) throws -> DetectorHeads {
    DetectorHeads(
      confidence: try head(features, "ClassHead", values: 2), location: try head(features, "BboxHead", values: 4),
      features: features)
  }

  package func priorBoxes(height: Int, width: Int) -> [Box] {
    zip(Self.strides, Self.sizes).flatMap { stride, sizes in
      SingleShot.priors(
        rows: (height + stride - 1) / stride, columns: (width + stride - 1) / stride, stride: stride, sizes: sizes)
    }
  }

  package func detect(_ image: Tensor, threshold: Float) throws -> [Detection] {
    let levels = try Autograd.withoutRecording { try features(image.detached()) }
    return try detections(
      heads(levels), height: image.shape[2], width: image.shape[3], threshold: threshold,
      landmarks: head(levels, "LandmarkHead", values: 10).values())
  }

  func detections(_ heads: DetectorHeads, height: Int, width: Int, threshold: Float, landmarks: [Float]?) throws
    -> [Detection]
  {
    let priors = priorBoxes(height: height, width: width)
    return try SingleShot.detections(heads, priors, threshold: threshold, suppression: Self.suppression) { i in
      SingleShot.landmarks(landmarks, of: i) { x, y in
        Point(
          x: priors[i].centerX + x * 0.1 * priors[i].width, y: priors[i].centerY + y * 0.1 * priors[i].height)
      }
    }
  }
}

@available(*, unavailable)
extension RetinaFace: Sendable {}
