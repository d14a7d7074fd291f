extension Tensor {
  /// Instance normalisation with each image's own statistics: (x - mean) / sqrt(variance + epsilon) * gamma + beta over
  /// the pixels of each channel of each image (biased variance), then the activation.
  /// Ulyanov, Vedaldi, Lempitsky (2016), "Instance Normalization".
  /// - Parameters:
  ///   - gamma: one value a channel; or, as `beta`, one an image and channel [N, C] (adaptive instance norm; Huang,
  ///     Belongie, 2017).
  ///   - beta: likewise.
  ///   - epsilon: added to the variance.
  ///   - activation: what follows, before the residual.
  ///   - isUnbiased: divide by the unbiased deviation plus epsilon, as HiSD does.
  ///   - residual: of this shape, added last: the other branch of a residual block.
  public func instanceNormalized(
    gamma: Tensor, beta: Tensor, epsilon: Float = 1e-5, activation: Activation = .identity, isUnbiased: Bool = false,
    adding residual: Tensor? = nil
  ) throws -> Tensor {
    let isAdaptive = rank == 4 && gamma.shape == [shape[0], shape[1]] && beta.shape == gamma.shape
    if !isAdaptive { try requireChannels("instance norm", [gamma, beta]) }
    try requireSameDevice(as: gamma, beta, residual, for: "instance norm")
    if let residual {
      guard residual.shape == shape else {
        throw KernelsError.shape(operation: "instance norm", "\(residual.shape) cannot be added to \(shape)")
      }
    }
    let groups = shape[0] * shape[1]
    let geometry = NormGeometry(
      channels: isAdaptive ? groups : shape[1], groups: groups, planes: 1, area: shape[2] * shape[3], planeStride: 0,
      epsilon: epsilon, isUnbiased: isUnbiased)
    guard let slope = activation.slope else {
      let plain = try normalized(gamma, beta, geometry, axes: [2, 3], 1).output.activated(by: activation)
      return try residual.map { try plain + $0 } ?? plain
    }
    return try normalized(gamma, beta, geometry, axes: [2, 3], slope, adding: residual).output
  }

  /// Batch normalisation of images [N, C, H, W] with the batch's own statistics (training mode; Ioffe and Szegedy, 2015), then
  /// the activation; and those statistics: the mean and the unbiased variance of each channel [C], as PyTorch's running
  /// statistics average them.
  /// - Parameters:
  ///   - gamma: one value a channel [C].
  ///   - beta: likewise.
  ///   - epsilon: added to the variance.
  ///   - activation: what follows.
  ///   - group: members that each have some of the batch's images: the statistics are those of all, and gradients run through them to
  ///     every member's images. Nil where these are all there are.
  /// - Throws: `GroupError` where another member is gone.
  public func batchNormalized(
    gamma: Tensor, beta: Tensor, epsilon: Float = 1e-5, activation: Activation = .identity,
    over group: (any ReductionGroup)? = nil
  ) throws -> (output: Tensor, mean: Tensor, variance: Tensor) {
    try requireChannels("batch norm", [gamma, beta])
    if let group, group.count > 1 {
      return try batchNormalized(gamma, beta, epsilon, activation, over: group)
    }
    let area = shape[2] * shape[3]
    let geometry = NormGeometry(
      channels: shape[1], groups: shape[1], planes: shape[0], area: area, planeStride: shape[1] * area,
      epsilon: epsilon)
    let (output, statistics) = try normalized(gamma, beta, geometry, axes: [0, 2, 3], activation.slope ?? 1)
    let mean = try statistics.sliced(axis: 1, 0..<1).reshaped([shape[1]])
    let inverse = try statistics.sliced(axis: 1, 1..<2).reshaped([shape[1]])
    let count = Float(shape[0] * area)
    let biased = try (inverse * inverse).reciprocal() - epsilon
    let activated = activation.slope == nil ? try output.activated(by: activation) : output
    return (activated, mean, try biased * (count / Swift.max(count - 1, 1)))
  }

  /// The same in elementary operations, between which members add up their sums.
  private func batchNormalized(
    _ gamma: Tensor, _ beta: Tensor, _ epsilon: Float, _ activation: Activation, over group: any ReductionGroup
  ) throws -> (output: Tensor, mean: Tensor, variance: Tensor) {
    let (channels, axes) = ([shape[1], 1, 1], [0, 2, 3])
    let count = try group.sum([Float(shape[0] * shape[2] * shape[3])])[0]
    let mean = try sum(axes: axes, keepingAxes: true).summed(over: group) * (1 / count)
    let centred = try self - mean
    let variance = try centred.squared().sum(axes: axes, keepingAxes: true).summed(over: group) * (1 / count)
    let output =
      try centred / (variance + epsilon).sqrt() * gamma.reshaped(channels) + beta.reshaped(channels)
    return (
      try output.activated(by: activation), try mean.reshaped([shape[1]]),
      try variance.reshaped([shape[1]]) * (count / Swift.max(count - 1, 1))
    )
  }

  /// Element by element the sum over a group's members. Its gradient is the sum of theirs: what a member's values change in the
  /// others' losses counts too.
  private func summed(over group: any ReductionGroup) throws -> Tensor {
    try Tensor(group.sum(values()), shape: shape, device: device).recorded("group sum", [self]) { gradient, _ in
      [try gradient.summed(over: group)]
    }
  }

  /// Normalisation of images [N, C, H, W] with stored statistics (inference mode): an affine map of each channel. All four
  /// parameters are [C].
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
    for parameter in parameters { try requireSameDevice(as: parameter, for: operation) }
  }

  private func normalized(
    _ gamma: Tensor, _ beta: Tensor, _ geometry: NormGeometry, axes: [Int], _ slope: Float,
    adding residual: Tensor? = nil
  ) throws -> (output: Tensor, statistics: Tensor) {
    let output = try device.allocate(count)
    let statistics = try device.allocate(geometry.groups * 2)
    try device.normalize(
      buffer, gamma: gamma.buffer, beta: beta.buffer, residual: residual?.buffer, into: output, statistics: statistics,
      geometry, slope: slope)
    let inputs = [self, gamma, beta]
    let kept = inputs.contains(where: \.isTracked) ? try KeptTensor(self) : nil
    let all = inputs + (residual.map { [$0] } ?? [])
    let result = Tensor(shape: shape, device: device, buffer: output).recorded("norm", all) {
      [shape, device] g, wanted in
      // The residual's gradient is this one; while it is held, the norm's own cannot take its memory over.
      let passed = wanted.count > 3 ? [wanted[3] ? g : nil] : []
      guard wanted.prefix(3).contains(true) else { return [nil, nil, nil] + passed }
      let x = try kept!.restored()
      let norm = NormCall(
        gamma: gamma, beta: beta, statistics: statistics, geometry: geometry, axes: axes, slope: slope)
      if Autograd.isRecording {
        if !wanted[1], !wanted[2] { return [try norm.gradient(x, kept!, g), nil, nil] + passed }
        // For a gradient of the parameters' gradients: the same function in operations that have second derivatives.
        return try gradients(
          of: norm.composed(x).node, to: [x.node, gamma.node, beta.node], wanted: wanted, seed: g, createGraph: true)
          + passed
      }
      let dx = try g.successor()
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
      ] + passed
    }
    if residual == nil, let kept {
      // A convolution that follows needs this output for its weights' gradient only: it is not kept beside the input.
      result.node?.recomputation = { [count, device, gamma = gamma.detached(), beta = beta.detached()] in
        let (output, unused) = (try device.allocate(count), try device.allocate(geometry.groups * 2))
        try device.normalize(
          kept.restored().buffer, gamma: gamma.buffer, beta: beta.buffer, residual: nil, into: output,
          statistics: unused, geometry, slope: slope)
        return output
      }
    }
    return (result, Tensor(shape: [geometry.groups, 2], device: device, buffer: statistics))
  }
}

/// A normalisation that has been computed: its parameters and the statistics that it found.
private struct NormCall {
  let gamma: Tensor, beta: Tensor
  let statistics: Buffer
  let geometry: NormGeometry
  let axes: [Int]
  let slope: Float

  /// The gradient of the input `x`, recorded for its own; `g` is the output's.
  func gradient(_ x: Tensor, _ kept: KeptTensor, _ g: Tensor) throws -> Tensor {
    let device = x.device
    let dx = try device.allocate(x.count)
    try device.normalizeGradient(
      x.buffer, g.buffer, gamma: gamma.buffer, beta: beta.buffer, statistics: statistics, into: dx,
      sums: device.allocate(geometry.groups * 2), geometry, slope: slope)
    let inputs = [x, g, gamma, beta]
    let keptG = inputs.contains(where: \.isTracked) ? try KeptTensor(g) : nil
    return Tensor(shape: x.shape, device: device, buffer: dx).recorded("normGradient", inputs) { u, wanted in
      let (x, g) = (try kept.restored(), try keptG!.restored())
      if Autograd.isRecording {
        let slope = try gradients(of: composed(x), withRespectTo: [x], seed: g, createGraph: true)[0]
        return try gradients(
          of: slope.node, to: [x.node, g.node, gamma.node, beta.node], wanted: wanted, seed: u, createGraph: true)
      }
      let (dx, ddy, dgamma) = (
        try u.successor(), try device.allocate(x.count), try device.allocate(geometry.groups)
      )
      try device.normalizeSecondGradient(
        x.buffer, g.buffer, u.buffer, gamma: gamma.buffer, beta: beta.buffer, statistics: statistics, into: dx,
        ddy: ddy, dgamma: dgamma, geometry, slope: slope)
      let images = [geometry.groups / geometry.channels, geometry.channels]
      return [
        Tensor(shape: x.shape, device: device, buffer: dx), Tensor(shape: x.shape, device: device, buffer: ddy),
        wanted[2]
          ? try Tensor(shape: images, device: device, buffer: dgamma).sum(axes: [0]).reshaped(gamma.shape) : nil,
        nil,
      ]
    }
  }

  /// What the fused kernel computes, in elementary operations.
  func composed(_ x: Tensor) throws -> Tensor {
    let channels = gamma.shape + [1, 1]
    let centred = try x - x.mean(axes: axes, keepingAxes: true)
    let variance = try centred.squared().mean(axes: axes, keepingAxes: true)
    let count = Float(geometry.planes * geometry.area)
    let deviation =
      try geometry.isUnbiased
      ? variance.scaled(by: count / Swift.max(count - 1, 1)).sqrt() + geometry.epsilon
      : (variance + geometry.epsilon).sqrt()
    let plain = try centred / deviation * gamma.reshaped(channels) + beta.reshaped(channels)
    return slope == 1 ? plain : try plain.leakyReLU(slope: slope)
  }
}
