import Kernels

/// Learned perceptual image patch similarity (Zhang et al., CVPR 2018), version 0.1 with AlexNet: how differently two images
/// look to people. Parameters carry the names of torchvision's AlexNet (`features`) and of the `lpips` package (`lin`).
public struct LPIPS {
  private let parameters: [String: Tensor]

  /// AlexNet's convolutions: their places in `features`, and their shapes [out, in, height, width].
  private static let layers: [(place: Int, shape: Shape)] = [
    (0, [64, 3, 11, 11]), (3, [192, 64, 5, 5]), (6, [384, 192, 3, 3]), (8, [256, 384, 3, 3]), (10, [256, 256, 3, 3]),
  ]

  /// - Throws: `FileError` naming a tensor that is missing, of the wrong shape, or of no use.
  public init(_ state: StateDictionary) throws {
    var source = ParameterSource(state)
    for (index, (place, shape)) in Self.layers.enumerated() {
      try source.layer("features.\(place)", shape, bias: shape[0])
      try source.layer("lin\(index).model.1", [1, shape[0], 1, 1])
    }
    parameters = try source.finished()
  }

  /// The distances [N] of images [N, 3, H, W] in [-1, 1], of 31 pixels a side at least; 0 for the same.
  public func callAsFunction(_ a: Tensor, _ b: Tensor) throws -> Tensor {
    let distances = try zip(features(a), features(b)).enumerated().map { index, pair in
      try (pair.0 - pair.1).squared().convolved(with: parameters["lin\(index).model.1.weight"]!).mean(axes: [1, 2, 3])
    }
    return try distances.dropFirst().reduce(distances[0], +)
  }

  /// What each layer finds, of unit length at every place.
  private func features(_ images: Tensor) throws -> [Tensor] {
    func channels(_ values: [Float]) throws -> Tensor {
      try Tensor(values, shape: [1, 3, 1, 1], device: images.device)
    }
    // The mean and deviation of ImageNet's colours.
    var x = try (images - channels([-0.030, -0.088, -0.188])) / channels([0.458, 0.448, 0.450])
    return try Self.layers.map { place, shape in
      if place == 3 || place == 6 { x = try x.maxPooled(size: 3, stride: 2) }
      x = try x.convolved(
        with: parameters["features.\(place).weight"]!, bias: parameters["features.\(place).bias"]!,
        stride: place == 0 ? 4 : 1, padding: place == 0 ? 2 : shape[2] / 2, activation: .relu)
      // Within the root, the addend keeps its gradient finite where no channel finds anything.
      return try x / (x.squared().sum(axes: [1], keepingAxes: true) + 1e-20).sqrt()
    }
  }
}

@available(*, unavailable)
extension LPIPS: Sendable {}
