import Kernels
import Pictures

/// Ultra-Light-Fast-Generic-Face-Detector-1MB (Linzaer, 2019), slim or with a block of receptive fields (RFB), as its weights tell:
/// a narrow MobileNet whose last blocks find faces by priors (SSD) on four levels. It sees the whole picture at 320x240, whatever its
/// own sides. Parameters carry the names of the author's PyTorch checkpoints; batch norms are folded in, in the file or here.
package final class UltraLight: HeadsDetector {
  package static let name = "ultralight"
  static let slimName = "ultralight-slim", fieldsName = "ultralight-rfb"
  /// The networks' names on the command line.
  package static let names = [slimName, fieldsName]

  package var modelName: String { hasFields ? Self.fieldsName : Self.slimName }

  package let resizesPictures = true

  /// A face of 40 pixels has 20 in a tile as the network sees it.
  package var tiling: DetectorTiling { DetectorTiling(side: 640, overlap: 224, batch: 8) }

  package let inventablePriorArea: Float? = 64 * 64

  private let parameters: [String: Tensor]
  /// Whether it has the block of receptive fields.
  private let hasFields: Bool

  /// Sides of the network's input.
  private static let height = 240, width = 320
  private static let suppression: Float = 0.5

  /// Channels that come out of the blocks, the blocks that halve the sides, and those whose output heads read.
  private static let channels = [16, 32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256]
  private static let halving: Set = [0, 2, 4, 8, 11]
  private static let read: Set = [7, 10, 12]
  /// The block that receptive fields take the place of, and the layers of its branches.
  private static let fieldsBlock = 7
  private static let branches: [[FieldLayer]] = [
    [FieldLayer(1, 8), FieldLayer(3, 16), FieldLayer(3, 16, dilation: 2)],
    [FieldLayer(1, 8), FieldLayer(3, 16), FieldLayer(3, 16, dilation: 3)],
    [FieldLayer(1, 8), FieldLayer(3, 12), FieldLayer(3, 16), FieldLayer(3, 16, dilation: 5)],
  ]
  /// Channels between the two convolutions that shrink and make the last level.
  private static let extraChannels = 64
  private static let levels = [
    Level(rows: 30, columns: 40, channels: 64, sizes: [10, 16, 24]),
    Level(rows: 15, columns: 20, channels: 128, sizes: [32, 48]),
    Level(rows: 8, columns: 10, channels: 256, sizes: [64, 96]),
    Level(rows: 4, columns: 5, channels: 256, sizes: [128, 192, 256]),
  ]

  /// A convolution of a branch.
  private struct FieldLayer {
    var side: Int, channels: Int, dilation: Int

    init(_ side: Int, _ channels: Int, dilation: Int = 1) {
      (self.side, self.channels, self.dilation) = (side, channels, dilation)
    }
  }

  /// A level that heads read: cells, and sides of a cell's priors in pixels of the input.
  private struct Level {
    var rows: Int, columns: Int, channels: Int
    var sizes: [Float]
  }

  package convenience init(_ state: StateDictionary) throws {
    let hasFields = state.tensors["base_net.\(Self.fieldsBlock).ConvLinear.conv.weight"] != nil
    try self.init(source: ParameterSource(state), hasFields: hasFields)
  }

  /// Fresh parameters, which find nothing: for tests.
  package convenience init(seed: UInt64, hasFields: Bool, device: any Device) throws {
    try self.init(source: ParameterSource(seed: seed, device: device, .kaiming), hasFields: hasFields)
  }

  private init(source: ParameterSource, hasFields: Bool) throws {
    var source = source
    /// A convolution with a norm, NAME.conv and NAME.bn.
    func field(_ name: String, _ shape: Shape) throws {
      try source.convolution("\(name).conv", shape, norm: "\(name).bn")
    }
    var before = 3
    for (index, after) in Self.channels.enumerated() {
      let name = "base_net.\(index)"
      if index == 0 {
        try source.convolution("\(name).0", [after, before, 3, 3], norm: "\(name).1")
      } else if index == Self.fieldsBlock, hasFields {
        for (number, branch) in Self.branches.enumerated() {
          var inner = before
          for (place, layer) in branch.enumerated() {
            try field("\(name).branch\(number).\(place)", [layer.channels, inner, layer.side, layer.side])
            inner = layer.channels
          }
        }
        try field("\(name).ConvLinear", [after, Self.branches.reduce(0) { $0 + $1.last!.channels }, 1, 1])
        try field("\(name).shortcut", [after, before, 1, 1])
      } else {
        try source.convolution("\(name).0", [before, 1, 3, 3], norm: "\(name).1")
        try source.convolution("\(name).3", [after, before, 1, 1], norm: "\(name).4")
      }
      before = after
    }
    let extra = Self.extraChannels
    try source.convolution("extras.0.0", [extra, before, 1, 1])
    try source.convolution("extras.0.2.0", [extra, 1, 3, 3])
    try source.convolution("extras.0.2.2", [before, extra, 1, 1])
    for (index, level) in Self.levels.enumerated() {
      for (head, values) in [("classification", 2), ("regression", 4)] {
        let (name, outputs) = ("\(head)_headers.\(index)", level.sizes.count * values)
        if index == Self.levels.count - 1 {
          try source.convolution(name, [outputs, level.channels, 3, 3])
        } else {
          try source.convolution("\(name).0", [level.channels, 1, 3, 3])
          try source.convolution("\(name).2", [outputs, level.channels, 1, 1])
        }
      }
    }
    (parameters, self.hasFields) = (try source.finished(), hasFields)
  }

  // MARK: The network

  /// A convolution and its activation.
  private func convolve(
    _ x: Tensor, _ name: String, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1,
    activation: Activation = .identity
  ) throws -> Tensor {
    try x.convolved(
      with: parameters["\(name).weight"]!, bias: parameters["\(name).bias"]!, stride: stride, padding: padding,
      dilation: dilation, groups: groups, activation: activation)
  }

  /// The block of receptive fields: what branches of growing reach see, and what went in. All layers of a branch but its first and
  /// last are rectified.
  private func fields(_ x: Tensor, _ name: String) throws -> Tensor {
    let seen = try Self.branches.enumerated().map { number, branch in
      var y = x
      for (place, layer) in branch.enumerated() {
        y = try convolve(
          y, "\(name).branch\(number).\(place).conv", padding: layer.side / 2 * layer.dilation,
          dilation: layer.dilation,
          activation: 0 < place && place < branch.count - 1 ? .relu : .identity)
      }
      return y
    }
    let joined = try convolve(Tensor.concatenated(seen, axis: 1), "\(name).ConvLinear.conv")
    return try (joined + convolve(x, "\(name).shortcut.conv")).relu()
  }

  /// The maps that heads read of images in [-1, 1].
  private func features(_ images: Tensor) throws -> [Tensor] {
    try SingleShot.requireColours(images, Self.name)
    // Colours on 0...255, less 127, by 128.
    var x = try images.resized(height: Self.height, width: Self.width).scaled(by: 127.5 / 128, plus: 0.5 / 128)
    var maps: [Tensor] = []
    for index in Self.channels.indices {
      let (name, stride) = ("base_net.\(index)", Self.halving.contains(index) ? 2 : 1)
      if index == Self.fieldsBlock, hasFields {
        x = try fields(x, name)
      } else {
        x = try convolve(
          x, "\(name).0", stride: stride, padding: 1, groups: index == 0 ? 1 : x.shape[1], activation: .relu)
        if index > 0 { x = try convolve(x, "\(name).3", activation: .relu) }
      }
      if Self.read.contains(index) { maps.append(x) }
    }
    x = try convolve(x, "extras.0.0", activation: .relu)
    x = try convolve(x, "extras.0.2.0", stride: 2, padding: 1, groups: x.shape[1], activation: .relu)
    maps.append(try convolve(x, "extras.0.2.2", activation: .relu))
    return maps
  }

  package func heads(_ images: Tensor) throws -> DetectorHeads {
    let maps = try features(images)
    func head(_ kind: String, values: Int) throws -> Tensor {
      try SingleShot.joined(
        maps.enumerated().map { level, map in
          let name = "\(kind)_headers.\(level)"
          if level == Self.levels.count - 1 { return try convolve(map, name, padding: 1) }
          return try convolve(
            convolve(map, "\(name).0", padding: 1, groups: map.shape[1], activation: .relu), "\(name).2")
        }, values: values)
    }
    return DetectorHeads(
      confidence: try head("classification", values: 2), location: try head("regression", values: 4),
      features: Array(maps.prefix(3)))
  }

  // MARK: Boxes

  package func priorBoxes(height: Int, width: Int) -> [Box] {
    var boxes: [Box] = []
    for level in Self.levels {
      for cell in 0..<level.rows * level.columns {
        // In shares of the picture; none is larger than that.
        let x = (Float(cell % level.columns) + 0.5) / Float(level.columns)
        let y = (Float(cell / level.columns) + 0.5) / Float(level.rows)
        for size in level.sizes {
          let (across, down) = (min(size / Float(Self.width), 1), min(size / Float(Self.height), 1))
          boxes.append(
            Box(centerX: x, centerY: y, width: across, height: down).scaled(x: Float(width), y: Float(height)))
        }
      }
    }
    return boxes
  }

  func suppressed(_ found: [Detection]) -> [Detection] { SingleShot.suppressed(found, threshold: Self.suppression) }
}

@available(*, unavailable)
extension UltraLight: Sendable {}
