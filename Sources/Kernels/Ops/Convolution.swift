/// The extents and parameters of a 2-D convolution.
public struct Conv2dGeometry: Hashable {
  public var batch: Int
  public var channels: Int, height: Int, width: Int
  public var outChannels: Int
  public var kernelHeight: Int, kernelWidth: Int
  public var stride: Int, padding: Int, dilation: Int, groups: Int

  public var outHeight: Int { (height + 2 * padding - dilation * (kernelHeight - 1) - 1) / stride + 1 }
  public var outWidth: Int { (width + 2 * padding - dilation * (kernelWidth - 1) - 1) / stride + 1 }

  public var inputShape: Shape { [batch, channels, height, width] }
  public var outputShape: Shape { [batch, outChannels, outHeight, outWidth] }
  public var weightShape: Shape { [outChannels, channels / groups, kernelHeight, kernelWidth] }

  /// Weights of one output (input) channel: kernel positions.
  var taps: Int { kernelHeight * kernelWidth }
  var outArea: Int { outHeight * outWidth }

  /// The convolution of the output's gradient with flipped and transposed weights that is the input gradient: of stride 1,
  /// ungrouped, with a square kernel; nil where there is none.
  var mirrored: Conv2dGeometry? {
    let reach = dilation * (kernelHeight - 1)
    guard stride == 1, groups == 1, kernelHeight == kernelWidth, reach >= padding else { return nil }
    return Conv2dGeometry(
      batch: batch, channels: outChannels, height: outHeight, width: outWidth, outChannels: channels,
      kernelHeight: kernelHeight, kernelWidth: kernelWidth, stride: 1, padding: reach - padding, dilation: dilation,
      groups: 1)
  }

  /// Multiply-adds of one pass, counted as two floating-point operations each.
  public var flops: Int { 2 * batch * outChannels * outArea * channels / groups * taps }
}

/// The leaky ReLU at the end of a convolution's kernel.
public enum Rectifier {
  /// Of one slope; 1 leaves values as they are.
  case leaky(slope: Float)
  /// Of one slope a channel (PReLU).
  case channels(Buffer)

  static let none = leaky(slope: 1)
}

/// What a back end provides for this file: convolution and its two gradients, each linear in both arguments.
public protocol ConvolutionKernels {
  /// y = leakyReLU(x * w (+ bias)), cross-correlation as in PyTorch.
  func conv2d(
    _ x: Buffer, _ w: Buffer, bias: Buffer?, _ rectifier: Rectifier, into y: Buffer, _ geometry: Conv2dGeometry) throws
  /// The gradient of x (+ bias by input channel, for the transposed convolution).
  func conv2dInputGradient(_ dy: Buffer, _ w: Buffer, bias: Buffer?, into dx: Buffer, _ geometry: Conv2dGeometry) throws
  /// The gradient of w.
  func conv2dWeightGradient(_ x: Buffer, _ dy: Buffer, into dw: Buffer, _ geometry: Conv2dGeometry) throws
}

extension Tensor {
  /// 2-D convolution (cross-correlation) of images [N, C, H, W] with a weight [out, C / groups, kh, kw].
  /// - Parameters:
  ///   - bias: one value an output channel.
  ///   - slope: of the leaky ReLU that follows in the same kernel (1: none, 0: ReLU).
  ///   - slopes: of the PReLU that follows instead, one an output channel: in the same kernel where nothing is recorded. (A
  ///     gradient needs what went in, since slopes may be negative.)
  public func convolved(
    with weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, dilation: Int = 1, groups: Int = 1,
    slope: Float = 1, slopes: Tensor? = nil
  ) throws -> Tensor {
    try requireSameDevice(as: weight, "conv2d")
    guard rank == 4, weight.rank == 4, stride > 0, padding >= 0, dilation > 0, groups > 0,
      shape[1] == weight.shape[1] * groups, weight.shape[0] % groups == 0,
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
    guard let slopes else { return try conv2d(weight, bias, geometry, .leaky(slope: slope)) }
    if [self, weight, bias, slopes].contains(where: { $0?.isTracked == true }) {
      return try conv2d(weight, bias, geometry, .none).prelu(slope: slopes)
    }
    try requireSameDevice(as: slopes, "conv2d")
    guard slopes.shape == [weight.shape[0]] else {
      throw KernelsError.shape(operation: "conv2d", "output channels \(weight.shape[0]), slopes \(slopes.shape)")
    }
    return try conv2d(weight, bias, geometry, .channels(slopes.buffer))
  }

  /// Transposed 2-D convolution of images [N, in, H, W] with a weight [in, out / groups, kh, kw].
  /// - Parameter outputPadding: rows and columns added at the far edges of the output.
  public func transposeConvolved(
    with weight: Tensor, bias: Tensor? = nil, stride: Int = 1, padding: Int = 0, outputPadding: Int = 0,
    dilation: Int = 1, groups: Int = 1
  ) throws -> Tensor {
    try requireSameDevice(as: weight, "transposed conv2d")
    guard rank == 4, weight.rank == 4, stride > 0, padding >= 0, dilation > 0, groups > 0, outputPadding >= 0,
      outputPadding < stride, shape[1] == weight.shape[0], weight.shape[0] % groups == 0,
      bias.map({ $0.shape == [weight.shape[1] * groups] }) ?? true
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
