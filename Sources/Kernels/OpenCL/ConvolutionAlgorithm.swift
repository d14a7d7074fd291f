/// How an ungrouped convolution is computed.
enum ConvolutionAlgorithm: String, Codable {
  /// Winograd's minimal filtering, of 3x3 kernels of stride 1 and 4x4 kernels of stride 2.
  case winograd
  /// Straight from padded strips of the image, of stride 1.
  case direct
  /// im2col and a GEMM: any.
  case columns
  /// Tiles in local memory, straight from the image: any, on GPUs in the place of the two before.
  case tiled
}

/// Convolutions that are alike for the choice of an algorithm.
struct ConvolutionShape: Hashable, Codable {
  var kernelHeight: Int, kernelWidth: Int, stride: Int, dilation: Int
  var channels: Int, outChannels: Int
  /// The logarithm of the number of output pixels in the batch.
  var pixels: Int

  init(_ g: Conv2dGeometry) {
    (kernelHeight, kernelWidth, stride, dilation) = (g.kernelHeight, g.kernelWidth, g.stride, g.dilation)
    (channels, outChannels) = (g.channels, g.outChannels)
    pixels = Int.bitWidth - (g.batch * g.outArea).leadingZeroBitCount
  }
}

extension OpenCLDevice {
  /// The algorithm for an ungrouped convolution, of as many images as are planned for.
  func algorithm(for g: Conv2dGeometry) -> ConvolutionAlgorithm {
    var planned = g
    planned.batch = plannedBatch ?? g.batch
    return parameters.algorithm(for: planned)
  }
}

extension KernelParameters {
  /// The algorithm for an ungrouped convolution: what the tuner found for its shape, else by rule.
  func algorithm(for g: Conv2dGeometry) -> ConvolutionAlgorithm {
    let possible = possibleAlgorithms(for: g)
    if possible.count == 1 { return possible[0] }
    if let tuned = algorithms[ConvolutionShape(g)], possible.contains(tuned) { return tuned }
    if possible.contains(.winograd), g.channels >= 16, g.outChannels >= 16,
      g.batch * g.outArea >= (g.stride == 1 && g.dilation == 1 ? 256 : 1024), !g.wastesTilesOfPhases
    {
      return .winograd
    }
    if possible.contains(.tiled) { return .tiled }
    // Columns would cost more than they save: large kernels, thin inputs or outputs.
    let isThin = g.taps > 1 && (g.outChannels <= 4 || g.channels < 16)
    return possible.contains(.direct) && g.outWidth >= 12 && (g.taps >= 25 || isThin) ? .direct : .columns
  }

  /// Those that can compute a convolution.
  func possibleAlgorithms(for g: Conv2dGeometry) -> [ConvolutionAlgorithm] {
    let isPlain3 = g.kernelHeight == 3 && g.kernelWidth == 3 && g.stride == 1
    let isHalving4 = g.kernelHeight == 4 && g.kernelWidth == 4 && g.stride == 2 && g.padding == 1
    let isWinograd =
      g.groups == 1 && (isPlain3 && g.padding % g.dilation == 0 || isHalving4 && g.dilation == 1)
    if tileItems > 0 { return isWinograd ? [.winograd, .tiled] : [.tiled] }
    return (isWinograd ? [.winograd] : []) + (g.stride == 1 && g.groups == 1 ? [.direct] : []) + [.columns]
  }
}

extension Conv2dGeometry {
  /// The convolution of dilation 1 of the phases of a dilated one (`split_phases`), as images of a batch.
  var phased: Conv2dGeometry {
    var result = self
    result.batch *= dilation * dilation
    result.height = (height + dilation - 1) / dilation
    result.width = (width + dilation - 1) / dilation
    result.padding /= dilation
    result.dilation = 1
    return result
  }

  /// Whether tiles of 4x4 of a dilated convolution's phases are too much larger than its output.
  fileprivate var wastesTilesOfPhases: Bool {
    let p = phased
    return p.dilation < dilation && p.batch * ((p.outHeight + 3) / 4) * ((p.outWidth + 3) / 4) * 10 > batch * outArea
  }
}
