import Kernels
import Pictures

/// BlazeFace (Bazarevsky et al., 2019), the three networks that MediaPipe has for faces, as their weights tell: short (128
/// pixels a side) and back (256), which find large faces by two levels of heads, and full (192), which finds smaller ones by a
/// pyramid and heads of one level. All see the whole picture as a square of one size, black beside it. Parameters are those
/// of MediaPipe's TensorFlow Lite files under names of tools/fetch-models.
///
/// Boxes are [N, anchors, 4]: how far the centre lies from the anchor's, to the right and down, then width and height, all in
/// pixels of the network's input.
package final class BlazeFace: SingleShotDetector {
  package static let name = "blazeface"
  /// The networks' names on the command line.
  package static let names = Variant.all.map(\.name)

  package var modelName: String { variant.name }

  package let resizesPictures = true

  /// A face of 40 pixels has 20 in a tile as the network sees it, of which a face fills at most two thirds.
  package var tiling: DetectorTiling {
    DetectorTiling(side: 2 * variant.side, overlap: variant.side * 3 / 4, batch: 16)
  }

  /// Any anchor finds a face of any size, so any can be made a false one.
  package let inventablePriorArea: Float? = .infinity

  private let parameters: [String: Tensor]
  private let variant: Variant

  /// What MediaPipe takes for a face before faces are merged, and how far those overlap that are.
  private static let (candidateThreshold, suppression) = (Float(0.5), Float(0.3))
  /// The side of a prior in cells. Anchors have no size of their own; this is as VGG's priors.
  private static let priorSide: Float = 4
  /// Values of a box and six points, of which the box comes first.
  private static let boxValues = 16

  /// A network's plan, in which its weights have only the channels.
  private struct Variant {
    var name: String
    /// Pixels a side of its input.
    var side: Int
    /// Blocks, and separable convolutions in each.
    var blocks: Int, layers: Int
    /// The blocks that halve the sides.
    var halving: [Int]
    /// The block whose input is not added to its output.
    var plainBlock: Int?
    /// Blocks in each level of the pyramid, from the coarsest; none where heads read the backbone's last two levels.
    var pyramid: [Int] = []
    /// Anchors a cell in each level that heads read, fine to coarse.
    var anchors: [Int]

    static let all = [
      Variant(name: "blazeface-short", side: 128, blocks: 16, layers: 1, halving: [2, 5, 11], anchors: [2, 6]),
      Variant(
        name: "blazeface-back", side: 256, blocks: 32, layers: 1, halving: [7, 15, 23, 31], plainBlock: 31,
        anchors: [2, 6]),
      Variant(
        name: "blazeface-full", side: 192, blocks: 15, layers: 2, halving: [2, 5, 8, 11], pyramid: [2, 2, 1],
        anchors: [1]),
    ]

    /// Pixels of the input a cell of each level that heads read, fine to coarse.
    var strides: [Int] { anchors.indices.map { (2 << halving.count) >> (max(pyramid.count, 1) - $0) } }
  }

  package init(_ state: StateDictionary) throws {
    let layers = state.tensors["blocks.0.1.depthwise.weight"] == nil ? 1 : 2
    let isLong = state.tensors["blocks.16.0.depthwise.weight"] != nil
    // Weights of none of them lack something that the short one has.
    let variant = Variant.all.first { $0.layers == layers && ($0.blocks > 16) == isLong } ?? Variant.all[0]
    var used: Set<String> = []
    func convolution(_ name: String, _ shape: [Int?]) throws -> Int {
      let outputs = try state.require("\(name).weight", shape).shape[0]
      _ = try state.require("\(name).bias", [outputs])
      used.formUnion(["\(name).weight", "\(name).bias"])
      return outputs
    }
    /// A block on so many channels: those that come out. A shortcut must not have more than that.
    func block(_ name: String, _ channels: Int, isPlain: Bool = false) throws -> Int {
      var inner = channels
      for layer in 0..<variant.layers {
        _ = try convolution("\(name).\(layer).depthwise", [inner, 1, 3, 3])
        inner = try convolution("\(name).\(layer).pointwise", [nil, inner, 1, 1])
      }
      guard isPlain || inner >= channels else {
        throw FileError(
          state.origin, "\(name) has \(inner) channels, fewer than the \(channels) that are added to them")
      }
      return inner
    }
    var channels = try convolution("stem", variant.layers == 1 ? [nil, 3, 5, 5] : [nil, 3, 3, 3])
    var stages: [Int] = []
    for index in 0..<variant.blocks {
      if variant.halving.contains(index) { stages.append(channels) }
      channels = try block("blocks.\(index)", channels, isPlain: index == variant.plainBlock)
    }
    var levels = [stages[stages.count - 1], channels]
    for (level, count) in variant.pyramid.enumerated() {
      let name = "pyramid.\(level)"
      let above = try convolution("\(name).above", [nil, channels, 1, 1])
      channels = try convolution("\(name).lateral", [above, stages[stages.count - 1 - level], 1, 1])
      for index in 0..<count { channels = try block("\(name).blocks.\(index)", channels) }
      levels = [channels]
    }
    for (level, count) in variant.anchors.enumerated() {
      _ = try convolution("classifier.\(level)", [count, levels[level], 1, 1])
      _ = try convolution("regressor.\(level)", [count * Self.boxValues, levels[level], 1, 1])
    }
    try state.requireNothing(besides: used)
    (self.variant, parameters) = (variant, state.tensors)
  }

  // MARK: The network

  /// A convolution with TensorFlow's "same" padding, which where it is odd has more at the far edges, and ReLU where the
  /// slope is 0.
  private func convolve(
    _ x: Tensor, _ name: String, stride: Int = 1, groups: Int = 1, activation: Activation = .identity
  ) throws
    -> Tensor
  {
    let weight = parameters["\(name).weight"]!
    // All sides here are even where the stride is 2.
    let padding = weight.shape[2] - stride
    let before = padding / 2
    let isEven = padding % 2 == 0
    let padded =
      isEven ? x : try x.padded(top: before, bottom: padding - before, left: before, right: padding - before)
    return try padded.convolved(
      with: weight, bias: parameters["\(name).bias"]!, stride: stride, padding: isEven ? before : 0, groups: groups,
      activation: activation)
  }

  /// Separable convolutions and what went in, its new channels 0.
  private func block(_ x: Tensor, _ name: String, stride: Int = 1, isPlain: Bool = false) throws -> Tensor {
    var y = x
    for layer in 0..<variant.layers {
      y = try convolve(y, "\(name).\(layer).depthwise", stride: layer == 0 ? stride : 1, groups: y.shape[1])
      let isRectified = isPlain || layer < variant.layers - 1
      y = try convolve(y, "\(name).\(layer).pointwise", activation: isRectified ? .relu : .identity)
    }
    if isPlain { return y }
    let shortcut = stride == 2 ? try x.maxPooled(size: 2) : x
    return try (y + shortcut.padded(axis: 1, before: 0, after: y.shape[1] - x.shape[1])).relu()
  }

  /// The maps that heads read, and of a pyramid the coarser ones too, fine to coarse.
  private func features(_ images: Tensor) throws -> [Tensor] {
    try SingleShot.requireColours(images, Self.name)
    var x = try convolve(
      Letterbox(height: images.shape[2], width: images.shape[3], side: variant.side)(images), "stem", stride: 2,
      activation: .relu)
    var stages: [Tensor] = []
    for index in 0..<variant.blocks {
      let isHalving = variant.halving.contains(index)
      if isHalving { stages.append(x) }
      x = try block(x, "blocks.\(index)", stride: isHalving ? 2 : 1, isPlain: index == variant.plainBlock)
    }
    if variant.pyramid.isEmpty { return [stages[stages.count - 1], x] }
    var levels: [Tensor] = []
    for (level, count) in variant.pyramid.enumerated() {
      let name = "pyramid.\(level)"
      let lateral = try convolve(stages[stages.count - 1 - level], "\(name).lateral", activation: .relu)
      x =
        try convolve(x, "\(name).above", activation: .relu).resized(height: lateral.shape[2], width: lateral.shape[3])
        + lateral
      for index in 0..<count { x = try block(x, "\(name).blocks.\(index)") }
      levels.insert(x, at: 0)
    }
    return levels
  }

  /// MediaPipe clips logits to 100 either way, which changes no score that could be a face's.
  package func heads(_ images: Tensor) throws -> DetectorHeads {
    let features = try features(images)
    func head(_ name: String, values: Int) throws -> Tensor {
      try SingleShot.joined(
        variant.anchors.indices.map { try convolve(features[$0], "\(name).\($0)") }, values: values)
    }
    return DetectorHeads(
      confidence: try SingleShot.binary(head("classifier", values: 1)),
      location: try head("regressor", values: Self.boxValues).sliced(axis: 2, 0..<4), features: features)
  }

  // MARK: Boxes

  /// How a picture lies in the square that the network sees.
  private struct Letterbox {
    var side: Int
    /// Rows above and below, columns left and right of the picture, in its pixels.
    var rows: Int, columns: Int
    /// Pixels of the picture a pixel of the input.
    var scale: Float

    init(height: Int, width: Int, side: Int) {
      self.side = side
      (rows, columns) = (max(0, width - height), max(0, height - width))
      scale = Float(max(height, width)) / Float(side)
    }

    /// The square, of images in [-1, 1].
    func callAsFunction(_ images: Tensor) throws -> Tensor {
      // Black is -1.
      let square =
        rows + columns == 0
        ? images
        : try (images + 1).padded(
          top: rows / 2, bottom: rows - rows / 2, left: columns / 2, right: columns - columns / 2) - 1
      return try square.resized(height: side, width: side, mode: .antialiased)
    }

    /// A box of the input in pixels of the picture. The picture counts as lying in the very middle, as MediaPipe has it.
    func box(_ box: Box) -> Box {
      box.scaled(x: scale, y: scale).shifted(x: -Float(columns) / 2, y: -Float(rows) / 2)
    }
  }

  package func priorBoxes(height: Int, width: Int) -> [Box] {
    let letterbox = Letterbox(height: height, width: width, side: variant.side)
    return zip(variant.strides, variant.anchors).flatMap { stride, count in
      let cells = variant.side / stride
      let sizes = [Float](repeating: Self.priorSide * Float(stride), count: count)
      return SingleShot.priors(rows: cells, columns: cells, stride: stride, sizes: sizes).map(letterbox.box)
    }
  }

  package func decodedBoxes(_ location: Tensor, height: Int, width: Int) throws -> Tensor {
    let scaled = try location * Letterbox(height: height, width: width, side: variant.side).scale
    let centers = try SingleShot.centers(of: priorBoxes(height: height, width: width), on: location.device)
    return try Tensor.concatenated(
      [centers + scaled.sliced(axis: 2, 0..<2), scaled.sliced(axis: 2, 2..<4)], axis: 2)
  }

  package func detect(_ image: Tensor, threshold: Float) throws -> [Detection] {
    try detect(each: image, threshold: threshold)[0]
  }

  package func detect(each images: Tensor, threshold: Float) throws -> [[Detection]] {
    let found = try Autograd.withoutRecording { try heads(images.detached()) }
    return try (0..<images.shape[0]).map { index in
      try detections(
        found.slice(index..<index + 1), height: images.shape[2], width: images.shape[3], threshold: threshold,
        landmarks: nil)
    }
  }

  func detections(_ heads: DetectorHeads, height: Int, width: Int, threshold: Float, landmarks: [Float]?) throws
    -> [Detection]
  {
    let boxes = try decodedBoxes(heads.location, height: height, width: width).values()
    // Which boxes are merged does not depend on how sure one wants to be of a face.
    let faces = try SingleShot.candidates(heads, threshold: min(threshold, Self.candidateThreshold)) { i, score in
      Detection(box: SingleShot.box(boxes, i), score: score, landmarks: [])
    }.filter { $0.box.width > 0 && $0.box.height > 0 }
    return weightedSuppression(faces, threshold: Self.suppression).filter { $0.score >= threshold }
  }
}

@available(*, unavailable)
extension BlazeFace: Sendable {}
