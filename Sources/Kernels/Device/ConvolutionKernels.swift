/// The extents and parameters of a 2-D convolution.
public struct Conv2dGeometry: Hashable, Sendable {
  /// The number of images.
  public var batch: Int
  /// The extents of an input image.
  public var channels: Int, height: Int, width: Int
  /// The channels of an output image.
  public var outChannels: Int
  /// The extents of the kernel, without dilation.
  public var kernelHeight: Int, kernelWidth: Int
  /// The same along both axes, as PyTorch's Conv2d; `groups` divides the channels of input and output.
  public var stride: Int, padding: Int, dilation: Int, groups: Int

  /// The rows of an output image.
  public var outHeight: Int { (height + 2 * padding - dilation * (kernelHeight - 1) - 1) / stride + 1 }
  /// The columns of an output image.
  public var outWidth: Int { (width + 2 * padding - dilation * (kernelWidth - 1) - 1) / stride + 1 }

  /// [N, C, H, W] of the input.
  public var inputShape: Shape { [batch, channels, height, width] }
  /// [N, C, H, W] of the output.
  public var outputShape: Shape { [batch, outChannels, outHeight, outWidth] }
  /// [output channels, input channels of a group, rows, columns] of the kernel.
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

  static var none: Rectifier { leaky(slope: 1) }
}

@available(*, unavailable)
extension Rectifier: Sendable {}

/// What a back end provides for `Tensor/Convolution.swift`: convolution and its two gradients, each linear in both arguments.
public protocol ConvolutionKernels {
  /// y = leakyReLU(x * w (+ bias)), cross-correlation as in PyTorch.
  func conv2d(
    _ x: Buffer, _ w: Buffer, bias: Buffer?, _ rectifier: Rectifier, into y: Buffer, _ geometry: Conv2dGeometry) throws
  /// The gradient of x (+ bias by input channel, for the transposed convolution).
  func conv2dInputGradient(_ dy: Buffer, _ w: Buffer, bias: Buffer?, into dx: Buffer, _ geometry: Conv2dGeometry) throws
  /// The gradient of w.
  func conv2dWeightGradient(_ x: Buffer, _ dy: Buffer, into dw: Buffer, _ geometry: Conv2dGeometry) throws
}
