import Kernels

/// Inception v3 (Szegedy et al., CVPR 2016) up to its last pooling, as the Frechet inception distance uses it: the weights
/// ported from TensorFlow, with averages that leave the padding out and a maximum in the last block's pooling. Parameters
/// carry torchvision's names; the batch norms are folded into the convolutions.
public struct InceptionV3 {
  private var convolutions: [String: (weight: Tensor, bias: Tensor)] = [:]

  /// Values an image.
  public static let featureCount = 2048

  /// The side that images are brought to.
  private static let side = 299

  /// - Throws: `FileError` naming a tensor that is missing or of the wrong shape.
  public init(_ state: StateDictionary) throws { try self.init(ParameterSource(state)) }

  /// Fresh parameters, for tests.
  package init(seed: UInt64, device: any Device) throws {
    try self.init(ParameterSource(seed: seed, device: device, .kaiming))
  }

  private init(_ source: ParameterSource) throws {
    var source = source
    for (name, shape) in Self.layers {
      try source.weight("\(name).conv.weight", shape)
      try source.norm("\(name).bn", [shape[0]])
      try source.runningStatistics("\(name).bn", shape[0], required: true)
      let found = source.parameters
      func part(_ part: String) -> Tensor { found["\(name).bn.\(part)"]! }
      let scale = try part("weight") / (part("running_var") + 1e-3).sqrt()
      convolutions[name] = (
        try found["\(name).conv.weight"]! * scale.reshaped([shape[0], 1, 1, 1]),
        try part("bias") - part("running_mean") * scale
      )
    }
  }

  /// All convolutions, [out, in, height, width].
  private static let layers: [(name: String, shape: Shape)] = {
    var all: [(String, Shape)] = []
    func add(_ name: String, _ from: Int, _ to: Int, _ height: Int = 1, _ width: Int = 1) {
      all.append((name, [to, from, height, width]))
    }
    add("Conv2d_1a_3x3", 3, 32, 3, 3)
    add("Conv2d_2a_3x3", 32, 32, 3, 3)
    add("Conv2d_2b_3x3", 32, 64, 3, 3)
    add("Conv2d_3b_1x1", 64, 80)
    add("Conv2d_4a_3x3", 80, 192, 3, 3)
    for (name, from, pooled) in [("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)] {
      add("\(name).branch1x1", from, 64)
      add("\(name).branch5x5_1", from, 48)
      add("\(name).branch5x5_2", 48, 64, 5, 5)
      add("\(name).branch3x3dbl_1", from, 64)
      add("\(name).branch3x3dbl_2", 64, 96, 3, 3)
      add("\(name).branch3x3dbl_3", 96, 96, 3, 3)
      add("\(name).branch_pool", from, pooled)
    }
    add("Mixed_6a.branch3x3", 288, 384, 3, 3)
    add("Mixed_6a.branch3x3dbl_1", 288, 64)
    add("Mixed_6a.branch3x3dbl_2", 64, 96, 3, 3)
    add("Mixed_6a.branch3x3dbl_3", 96, 96, 3, 3)
    for (name, middle) in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)] {
      add("\(name).branch1x1", 768, 192)
      add("\(name).branch7x7_1", 768, middle)
      add("\(name).branch7x7_2", middle, middle, 1, 7)
      add("\(name).branch7x7_3", middle, 192, 7, 1)
      add("\(name).branch7x7dbl_1", 768, middle)
      add("\(name).branch7x7dbl_2", middle, middle, 7, 1)
      add("\(name).branch7x7dbl_3", middle, middle, 1, 7)
      add("\(name).branch7x7dbl_4", middle, middle, 7, 1)
      add("\(name).branch7x7dbl_5", middle, 192, 1, 7)
      add("\(name).branch_pool", 768, 192)
    }
    add("Mixed_7a.branch3x3_1", 768, 192)
    add("Mixed_7a.branch3x3_2", 192, 320, 3, 3)
    add("Mixed_7a.branch7x7x3_1", 768, 192)
    add("Mixed_7a.branch7x7x3_2", 192, 192, 1, 7)
    add("Mixed_7a.branch7x7x3_3", 192, 192, 7, 1)
    add("Mixed_7a.branch7x7x3_4", 192, 192, 3, 3)
    for (name, from) in [("Mixed_7b", 1280), ("Mixed_7c", 2048)] {
      add("\(name).branch1x1", from, 320)
      add("\(name).branch3x3_1", from, 384)
      add("\(name).branch3x3_2a", 384, 384, 1, 3)
      add("\(name).branch3x3_2b", 384, 384, 3, 1)
      add("\(name).branch3x3dbl_1", from, 448)
      add("\(name).branch3x3dbl_2", 448, 384, 3, 3)
      add("\(name).branch3x3dbl_3a", 384, 384, 1, 3)
      add("\(name).branch3x3dbl_3b", 384, 384, 3, 1)
      add("\(name).branch_pool", from, 192)
    }
    return all
  }()

  /// The features [N, 2048] of images [N, 3, H, W] in [-1, 1].
  public func callAsFunction(_ images: Tensor) throws -> Tensor {
    var x = try images.resized(height: Self.side, width: Self.side)
    x = try convolve(x, "Conv2d_1a_3x3", stride: 2, isPadded: false)
    x = try convolve(x, "Conv2d_2a_3x3", isPadded: false)
    x = try convolve(x, "Conv2d_2b_3x3").maxPooled(size: 3, stride: 2)
    x = try convolve(x, "Conv2d_3b_1x1")
    x = try convolve(x, "Conv2d_4a_3x3", isPadded: false).maxPooled(size: 3, stride: 2)
    for name in ["Mixed_5b", "Mixed_5c", "Mixed_5d"] {
      x = try Tensor.concatenated(
        [
          chain(x, name, ["branch1x1"]), chain(x, name, ["branch5x5_1", "branch5x5_2"]),
          chain(x, name, ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]),
          chain(averaged(x), name, ["branch_pool"]),
        ], axis: 1)
    }
    x = try Tensor.concatenated(
      [
        convolve(x, "Mixed_6a.branch3x3", stride: 2, isPadded: false),
        convolve(
          chain(x, "Mixed_6a", ["branch3x3dbl_1", "branch3x3dbl_2"]), "Mixed_6a.branch3x3dbl_3", stride: 2,
          isPadded: false), x.maxPooled(size: 3, stride: 2),
      ], axis: 1)
    for name in ["Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e"] {
      x = try Tensor.concatenated(
        [
          chain(x, name, ["branch1x1"]), chain(x, name, (1...3).map { "branch7x7_\($0)" }),
          chain(x, name, (1...5).map { "branch7x7dbl_\($0)" }), chain(averaged(x), name, ["branch_pool"]),
        ], axis: 1)
    }
    x = try Tensor.concatenated(
      [
        convolve(convolve(x, "Mixed_7a.branch3x3_1"), "Mixed_7a.branch3x3_2", stride: 2, isPadded: false),
        convolve(
          chain(x, "Mixed_7a", (1...3).map { "branch7x7x3_\($0)" }), "Mixed_7a.branch7x7x3_4", stride: 2,
          isPadded: false), x.maxPooled(size: 3, stride: 2),
      ], axis: 1)
    for name in ["Mixed_7b", "Mixed_7c"] {
      let short = try convolve(x, "\(name).branch3x3_1")
      let long = try chain(x, name, ["branch3x3dbl_1", "branch3x3dbl_2"])
      let pooled = try name == "Mixed_7c" ? x.maxPooled(size: 3, stride: 1, padding: 1) : averaged(x)
      x = try Tensor.concatenated(
        [
          convolve(x, "\(name).branch1x1"), convolve(short, "\(name).branch3x3_2a"),
          convolve(short, "\(name).branch3x3_2b"), convolve(long, "\(name).branch3x3dbl_3a"),
          convolve(long, "\(name).branch3x3dbl_3b"), convolve(pooled, "\(name).branch_pool"),
        ], axis: 1)
    }
    return try x.mean(axes: [2, 3])
  }

  /// A convolution and ReLU; padded, its output has the input's size at stride 1.
  private func convolve(_ x: Tensor, _ name: String, stride: Int = 1, isPadded: Bool = true) throws -> Tensor {
    let (weight, bias) = convolutions[name]!
    let (vertical, horizontal) = isPadded ? (weight.shape[2] / 2, weight.shape[3] / 2) : (0, 0)
    if vertical == horizontal {
      return try x.convolved(with: weight, bias: bias, stride: stride, padding: vertical, activation: .relu)
    }
    return try x.padded(top: vertical, bottom: vertical, left: horizontal, right: horizontal)
      .convolved(with: weight, bias: bias, stride: stride, activation: .relu)
  }

  private func chain(_ x: Tensor, _ block: String, _ names: [String]) throws -> Tensor {
    try names.reduce(x) { try convolve($0, "\(block).\($1)") }
  }

  /// Means over 3x3, of what lies within the image.
  private func averaged(_ x: Tensor) throws -> Tensor {
    let ones = try Tensor(repeating: 1, shape: [1, 1] + x.shape.suffix(2), device: x.device)
    return try x.averagePooled(size: 3, stride: 1, padding: 1) / ones.averagePooled(size: 3, stride: 1, padding: 1)
  }
}

@available(*, unavailable)
extension InceptionV3: Sendable {}
