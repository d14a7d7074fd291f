extension Tensor {
  /// 2-D convolution (cross-correlation) of images [N, C, H, W] with a weight [out, C / groups, kh, kw], as PyTorch's Conv2d.
  /// The result is [N, out, (H + 2 padding - dilation (kh - 1) - 1) / stride + 1, the same of W], divisions rounded down.
  /// - Parameters:
  ///   - weight: [out, C / groups, kh, kw].
  ///   - bias: one value an output channel.
  ///   - stride: pixels from one window to the next, both ways.
  ///   - padding: zeros added at each edge.
  ///   - dilation: pixels from one tap to the next.
  ///   - groups: channels are cut into as many parts, each with outputs of its own.
  ///   - activation: what follows, in the same kernel; PReLU only where nothing is recorded (a gradient needs what went
  ///     in, since slopes may be negative).
  /// - Throws: `KernelsError.shape` where sizes do not fit.
  public func convolved(
    with weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1,
    activation: Activation = .identity
  ) throws -> Tensor {
    try requireSameDevice(as: weight, bias, for: "conv2d")
    guard rank == 4, weight.rank == 4, (1...largestExtent).contains(stride), (0...largestExtent).contains(padding),
      (1...largestExtent).contains(dilation), groups > 0, shape[1] % groups == 0, shape[1] / groups == weight.shape[1],
      weight.shape[0] % groups == 0,
      bias.map({ $0.shape == [weight.shape[0]] }) ?? true
    else {
      throw KernelsError.shape(
        operation: "conv2d",
        "input \(shape), weight \(weight.shape), bias \(bias?.shape ?? []), stride \(stride), padding \(padding), "
          + "dilation \(dilation), groups \(groups) do not fit")
    }
    let geometry = Conv2dGeometry(
      batch: shape[0], channels: shape[1], height: shape[2], width: shape[3], outChannels: weight.shape[0],
      kernelHeight: weight.shape[2], kernelWidth: weight.shape[3], stride: stride, padding: padding,
      dilation: dilation, groups: groups)
    guard shape[2] + 2 * padding > dilation * (geometry.kernelHeight - 1),
      shape[3] + 2 * padding > dilation * (geometry.kernelWidth - 1)
    else {
      throw KernelsError.shape(operation: "conv2d", "input \(shape) is smaller than the kernel of \(weight.shape)")
    }
    guard case .prelu(let slopes) = activation else {
      return try conv2d(weight, bias, geometry, .leaky(slope: activation.slope!))
    }
    try requireSameDevice(as: slopes, for: "conv2d")
    if [self, weight, bias, slopes].contains(where: { $0?.isTracked == true }) {
      return try conv2d(weight, bias, geometry, .none).prelu(slope: slopes)
    }
    guard slopes.shape == [weight.shape[0]] else {
      throw KernelsError.shape(operation: "conv2d", "output channels \(weight.shape[0]), slopes \(slopes.shape)")
    }
    return try conv2d(weight, bias, geometry, .channels(slopes.buffer))
  }

  /// Transposed 2-D convolution of images [N, in, H, W] with a weight [in, out / groups, kh, kw], as PyTorch's
  /// ConvTranspose2d: the result has (H - 1) stride - 2 padding + dilation (kh - 1) + outputPadding + 1 rows.
  /// - Parameters:
  ///   - weight: [in, out / groups, kh, kw].
  ///   - bias: one value an output channel.
  ///   - stride: pixels of the result from one pixel of this to the next.
  ///   - padding: pixels taken off at each edge.
  ///   - outputPadding: rows and columns added at the far edges of the output, fewer than `stride`.
  ///   - dilation: pixels from one tap to the next.
  ///   - groups: channels are cut into as many parts, each with outputs of its own.
  public func transposeConvolved(
    with weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, outputPadding: Int = 0,
    dilation: Int = 1, groups: Int = 1
  ) throws -> Tensor {
    try requireSameDevice(as: weight, bias, for: "transposed conv2d")
    guard rank == 4, weight.rank == 4, (1...largestExtent).contains(stride), (0...largestExtent).contains(padding),
      (1...largestExtent).contains(dilation), groups > 0, (0..<stride).contains(outputPadding),
      shape[1] == weight.shape[0], weight.shape[0] % groups == 0,
      groups <= largestExtent, bias.map({ $0.shape == [weight.shape[1] * groups] }) ?? true
    else {
      throw KernelsError.shape(
        operation: "transposed conv2d",
        "input \(shape), weight \(weight.shape), bias \(bias?.shape ?? []), stride \(stride), padding \(padding), "
          + "output padding \(outputPadding), dilation \(dilation), groups \(groups) do not fit")
    }
    let height = (shape[2] - 1) * stride - 2 * padding + dilation * (weight.shape[2] - 1) + outputPadding + 1
    let width = (shape[3] - 1) * stride - 2 * padding + dilation * (weight.shape[3] - 1) + outputPadding + 1
    guard height > 0, width > 0 else {
      throw KernelsError.shape(operation: "transposed conv2d", "input \(shape) leaves nothing after padding \(padding)")
    }
    return try conv2dInputGradient(
      weight, bias,
      Conv2dGeometry(
        batch: shape[0], channels: weight.shape[1] * groups, height: height, width: width, outChannels: shape[1],
        kernelHeight: weight.shape[2], kernelWidth: weight.shape[3], stride: stride, padding: padding,
        dilation: dilation, groups: groups))
  }

  // The three maps below are closed under differentiation: each one's gradients are the other two.

  private func conv2d(
    _ weight: Tensor, _ bias: Tensor?, _ geometry: Conv2dGeometry, _ rectifier: Rectifier = .none
  ) throws -> Tensor {
    let output = try device.allocate(geometry.outputShape.elementCount)
    try device.conv2d(buffer, weight.buffer, bias: bias?.buffer, rectifier, into: output, geometry)
    // A frozen weight costs nothing: then the input is not kept.
    let (keptInput, keptWeight) = (weight.isTracked ? try KeptTensor(self) : nil, isTracked ? weight : nil)
    let y = Tensor(shape: geometry.outputShape, device: device, buffer: output)
    // The sign of the output is that of what was rectified, so nothing else is kept for it.
    var mask: (kept: KeptTensor, slope: Float)?
    if case .leaky(let slope) = rectifier, slope != 1, isTracked || weight.isTracked || bias?.isTracked == true {
      mask = (try KeptTensor(y), slope)
    }
    return y.recorded("conv2d", [self, weight] + (bias.map { [$0] } ?? [])) { [mask] g, wanted in
      let g = try mask.map { try $0.kept.restored().leakyReLUGradient(g, $0.slope) } ?? g
      var result: [Tensor?] = [
        wanted[0] ? try g.conv2dInputGradient(keptWeight!, nil, geometry) : nil,
        wanted[1] ? try keptInput!.restored().conv2dWeightGradient(g, geometry) : nil,
      ]
      if wanted.count > 2 { result.append(wanted[2] ? try g.sum(axes: [0, 2, 3]) : nil) }
      return result
    }
  }

  /// This being the gradient of a convolution's output, that of its input.
  private func conv2dInputGradient(_ weight: Tensor, _ bias: Tensor?, _ geometry: Conv2dGeometry) throws -> Tensor {
    let output = try device.allocate(geometry.inputShape.elementCount)
    try device.conv2dInputGradient(buffer, weight.buffer, bias: bias?.buffer, into: output, geometry)
    let (keptGradient, keptWeight) = (weight.isTracked ? try KeptTensor(self) : nil, isTracked ? weight : nil)
    return Tensor(shape: geometry.inputShape, device: device, buffer: output)
      .recorded("conv2d input gradient", [self, weight] + (bias.map { [$0] } ?? [])) { h, wanted in
        var result: [Tensor?] = [
          wanted[0] ? try h.conv2d(keptWeight!, nil, geometry) : nil,
          wanted[1] ? try h.conv2dWeightGradient(keptGradient!.restored(), geometry) : nil,
        ]
        if wanted.count > 2 { result.append(wanted[2] ? try h.sum(axes: [0, 2, 3]) : nil) }
        return result
      }
  }

  /// This being a convolution's input and `gradient` that of its output, the gradient of its weight.
  private func conv2dWeightGradient(_ gradient: Tensor, _ geometry: Conv2dGeometry) throws -> Tensor {
    let output = try device.allocate(geometry.weightShape.elementCount)
    try device.conv2dWeightGradient(buffer, gradient.buffer, into: output, geometry)
    let (keptInput, keptGradient) = (
      gradient.isTracked ? try KeptTensor(self) : nil, isTracked ? try KeptTensor(gradient) : nil
    )
    return Tensor(shape: geometry.weightShape, device: device, buffer: output)
      .recorded("conv2d weight gradient", [self, gradient]) { h, wanted in
        [
          wanted[0] ? try keptGradient!.restored().conv2dInputGradient(h, nil, geometry) : nil,
          wanted[1] ? try keptInput!.restored().conv2d(h, nil, geometry) : nil,
        ]
      }
  }
}
