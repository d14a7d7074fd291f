/// Which elements share statistics: `planes` planes of `area` elements, `planeStride` apart, a group; group g belongs
/// to channel g % channels. Instance norm has one plane a group, batch norm one an image.
public struct NormGeometry {
  public var channels: Int, groups: Int, planes: Int, area: Int, planeStride: Int
}

/// What a back end provides for this file.
public protocol NormalizationKernels {
  /// y = leakyReLU((x - mean) / sqrt(variance + epsilon) * gamma + beta; slope); statistics gets (mean, 1 / deviation)
  /// for each group.
  func normalize(
    _ x: Buffer, gamma: Buffer, beta: Buffer, into y: Buffer, statistics: Buffer, _ geometry: NormGeometry,
    epsilon: Float, slope: Float) throws
  /// dx, and for each group (the sum of g * h, the sum of g) with h the normalised value and g the gradient before
  /// the activation.
  func normalizeGradient(
    _ x: Buffer, _ dy: Buffer, gamma: Buffer, beta: Buffer, statistics: Buffer, into dx: Buffer, sums: Buffer,
    _ geometry: NormGeometry, slope: Float) throws
}

extension Tensor {
  /// Instance normalisation with each image's own statistics: (x - mean) / sqrt(variance + epsilon) * gamma + beta over
  /// the pixels of each channel of each image (biased variance), then leaky ReLU of `slope` (1: none, 0: ReLU).
  /// Ulyanov, Vedaldi, Lempitsky (2016), "Instance Normalization".
  public func instanceNormalized(gamma: Tensor, beta: Tensor, epsilon: Float = 1e-5, slope: Float = 1) throws -> Tensor
  {
    try requireChannels("instance norm", [gamma, beta])
    let area = shape[2] * shape[3]
    let geometry = NormGeometry(
      channels: shape[1], groups: shape[0] * shape[1], planes: 1, area: area, planeStride: 0)
    return try normalized(gamma, beta, geometry, axes: [2, 3], epsilon, slope).output
  }

  /// Batch normalisation with the batch's own statistics (training mode), and those statistics: the mean and the
  /// unbiased variance of each channel, as PyTorch's running statistics average them.
  public func batchNormalized(gamma: Tensor, beta: Tensor, epsilon: Float = 1e-5, slope: Float = 1) throws
    -> (output: Tensor, mean: Tensor, variance: Tensor)
  {
    try requireChannels("batch norm", [gamma, beta])
    let area = shape[2] * shape[3]
    let geometry = NormGeometry(
      channels: shape[1], groups: shape[1], planes: shape[0], area: area, planeStride: shape[1] * area)
    let (output, statistics) = try normalized(gamma, beta, geometry, axes: [0, 2, 3], epsilon, slope)
    let mean = try statistics.sliced(axis: 1, 0..<1).reshaped([shape[1]])
    let inverse = try statistics.sliced(axis: 1, 1..<2).reshaped([shape[1]])
    let count = Float(shape[0] * area)
    let biased = try (inverse * inverse).reciprocal() - epsilon
    return (output, mean, try biased * (count / Swift.max(count - 1, 1)))
  }

  /// Normalisation with stored statistics (inference mode): an affine map of each channel.
  public func normalized(mean: Tensor, variance: Tensor, gamma: Tensor, beta: Tensor, epsilon: Float = 1e-5) throws
    -> Tensor
  {
    try requireChannels("batch norm", [mean, variance, gamma, beta])
    let channels = [shape[1], 1, 1]
    let scale = try gamma / (variance + epsilon).sqrt()
    let shift = try beta - mean * scale
    return try self * scale.reshaped(channels) + shift.reshaped(channels)
  }

  private func requireChannels(_ operation: String, _ parameters: [Tensor]) throws {
    guard rank == 4, parameters.allSatisfy({ $0.shape == [shape[1]] }) else {
      throw KernelsError.shape(
        operation: operation, "input \(shape) needs parameters of one value a channel, not \(parameters.map(\.shape))")
    }
    for parameter in parameters { try requireSameDevice(as: parameter, operation) }
  }

  private func normalized(
    _ gamma: Tensor, _ beta: Tensor, _ geometry: NormGeometry, axes: [Int], _ epsilon: Float, _ slope: Float
  ) throws -> (output: Tensor, statistics: Tensor) {
    let output = try device.allocate(count)
    let statistics = try device.allocate(geometry.groups * 2)
    try device.normalize(
      buffer, gamma: gamma.buffer, beta: beta.buffer, into: output, statistics: statistics, geometry, epsilon: epsilon,
      slope: slope)
    let inputs = [self, gamma, beta]
    let kept = inputs.contains(where: \.isTracked) ? try KeptTensor(self) : nil
    let result = Tensor(shape: shape, device: device, buffer: output).recorded("norm", inputs) {
      [shape, count, device] g, wanted in
      let x = try kept!.restored()
      if Autograd.isRecording {
        // For a gradient of this gradient: the same function in operations that have second derivatives.
        let plain = try x.composed(gamma, beta, axes: axes, epsilon, slope)
        let inputs = [x, gamma, beta]
        let asked = inputs.indices.filter { wanted[$0] }
        let found = try gradients(of: plain, withRespectTo: asked.map { inputs[$0] }, seed: g, createGraph: true)
        return inputs.indices.map { index in asked.firstIndex(of: index).map { found[$0] } }
      }
      let dx = try device.allocate(count)
      let sums = try device.allocate(geometry.groups * 2)
      try device.normalizeGradient(
        x.buffer, g.buffer, gamma: gamma.buffer, beta: beta.buffer, statistics: statistics, into: dx, sums: sums,
        geometry, slope: slope)
      var parameters: Tensor?
      if wanted[1] || wanted[2] {
        parameters = try Tensor(
          shape: [geometry.groups / geometry.channels, geometry.channels, 2], device: device, buffer: sums
        ).sum(axes: [0])
      }
      return [
        Tensor(shape: shape, device: device, buffer: dx),
        wanted[1] ? try parameters!.sliced(axis: 1, 0..<1).reshaped(gamma.shape) : nil,
        wanted[2] ? try parameters!.sliced(axis: 1, 1..<2).reshaped(beta.shape) : nil,
      ]
    }
    return (result, Tensor(shape: [geometry.groups, 2], device: device, buffer: statistics))
  }

  /// What the fused kernel computes, in elementary operations.
  private func composed(_ gamma: Tensor, _ beta: Tensor, axes: [Int], _ epsilon: Float, _ slope: Float) throws -> Tensor
  {
    let channels = [shape[1], 1, 1]
    let centred = try self - mean(axes: axes, keepingAxes: true)
    let deviation = try (centred.squared().mean(axes: axes, keepingAxes: true) + epsilon).sqrt()
    let plain = try centred / deviation * gamma.reshaped(channels) + beta.reshaped(channels)
    return slope == 1 ? plain : try plain.leakyReLU(slope: slope)
  }
}
