import Kernels

/// Who a face is: dlib's face recognition network (King, 2017), a residual network (He et al., CVPR 2016) of 29
/// convolutions, with its affine layers folded into them. It was trained so that the embeddings of one person lie within
/// 0.6 of each other, and those of two people further apart.
public struct IdentityNetwork {
  private let parameters: [String: Tensor]

  /// Values a face.
  public static let embeddingCount = 128

  /// The side that faces are brought to.
  private static let side = 150

  /// The output channels of each residual block; those that halve the image.
  private static let widths = [32, 32, 32, 64, 64, 64, 64, 128, 128, 128, 256, 256, 256, 256]
  private static let halving: Set = [3, 7, 10, 13]

  /// - Throws: `FileError` naming a tensor that is missing, of the wrong shape, or of no use.
  public init(_ state: StateDictionary) throws {
    var source = ParameterSource(state)
    try source.constant("mean", [3], 0)
    try source.layer("conv1", [32, 3, 7, 7], bias: 32)
    for (block, (from, to)) in zip([32] + Self.widths, Self.widths).enumerated() {
      try source.layer("blocks.\(block).conv1", [to, from, 3, 3], bias: to)
      try source.layer("blocks.\(block).conv2", [to, to, 3, 3], bias: to)
    }
    try source.layer("fc", [Self.embeddingCount, Self.widths.last!])
    parameters = try source.finished()
  }

  /// The embeddings [N, 128] of faces [N, 3, H, W] in [-1, 1], which are brought to 150 pixels a side. dlib's authors turn
  /// faces upright and leave a quarter of their size around them.
  public func callAsFunction(_ faces: Tensor) throws -> Tensor {
    var x = try faces.resized(height: Self.side, width: Self.side).scaled(by: 127.5, plus: 127.5)
    x = try (x - parameters["mean"]!.reshaped([1, 3, 1, 1])) / 256
    x = try convolve(x, "conv1", stride: 2, activation: .relu).maxPooled(size: 3, stride: 2)
    for block in Self.widths.indices {
      let isHalving = Self.halving.contains(block)
      let inner = try convolve(
        x, "blocks.\(block).conv1", stride: isHalving ? 2 : 1, padding: isHalving ? 0 : 1, activation: .relu)
      let change = try convolve(inner, "blocks.\(block).conv2", padding: 1)
      x = try sum(isHalving ? x.averagePooled(size: 2) : x, change).relu()
    }
    return try x.mean(axes: [2, 3]).linear(weight: parameters["fc.weight"]!, bias: nil)
  }

  /// The Euclidean distances [N] of embeddings [N, 128]: below 0.6 dlib's authors take two faces for the same person's.
  public static func distances(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    try (a - b).squared().sum(axes: [1]).sqrt()
  }

  /// The cosines [N] of the angles between embeddings [N, 128], in [-1, 1]; 1 for the same face.
  public static func similarities(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let lengths = try a.squared().sum(axes: [1]) * b.squared().sum(axes: [1])
    return try (a * b).sum(axes: [1]) / lengths.sqrt()
  }

  private func convolve(
    _ x: Tensor, _ name: String, stride: Int = 1, padding: Int = 0, activation: Activation = .identity
  ) throws
    -> Tensor
  {
    try x.convolved(
      with: parameters["\(name).weight"]!, bias: parameters["\(name).bias"]!, stride: stride, padding: padding,
      activation: activation)
  }

  /// The sum of two images, of which the smaller in channels, rows or columns is taken for 0 beyond them.
  private func sum(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    func filled(_ x: Tensor, like other: Tensor) throws -> Tensor {
      try (1..<4).reduce(x) { x, axis in
        let missing = other.shape[axis] - x.shape[axis]
        return missing > 0 ? try x.padded(axis: axis, before: 0, after: missing) : x
      }
    }
    return try filled(a, like: b) + filled(b, like: a)
  }
}

@available(*, unavailable)
extension IdentityNetwork: Sendable {}
