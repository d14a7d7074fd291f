/// How a resize reads its source.
public enum ResizeMode: Int, Sendable {
  /// The pixel at floor(o * input / output).
  case nearest = 0
  /// Two-point interpolation between pixel centres (PyTorch's align_corners=False).
  case bilinear = 1
  /// Two-point interpolation, first and last pixels meeting (align_corners=True).
  case bilinearAlignedCorners = 2
  /// The mean of the pixels each output pixel covers (adaptive average pooling).
  case area = 3
  /// The mean under a triangle as wide as two output pixels, or two source pixels where those are larger (PyTorch's
  /// antialias=True, Pillow's BILINEAR): enlarging, it is bilinear.
  case antialiased = 4
}

/// The extents of a resize over `planes` planes (batch times channels).
public struct ResizeGeometry: Sendable {
  /// The planes, and the extents of one before and after.
  public var planes: Int, height: Int, width: Int, outHeight: Int, outWidth: Int
  /// How the source is read.
  public var mode: ResizeMode

  /// Source pixels an output pixel, along y and x.
  var scales: (y: Float, x: Float) {
    func scale(_ input: Int, _ output: Int) -> Float {
      guard mode == .bilinearAlignedCorners else { return Float(input) / Float(output) }
      return output > 1 ? Float(input - 1) / Float(output - 1) : 0
    }
    return (scale(height, outHeight), scale(width, outWidth))
  }
}

/// What a back end provides for `Tensor/Resampling.swift`.
public protocol ResamplingKernels {
  /// y = x at the other size, plane by plane.
  func resize(_ x: Buffer, into y: Buffer, _ geometry: ResizeGeometry) throws
  /// The adjoint of `resize`, under the same geometry.
  func resizeGradient(_ dy: Buffer, into dx: Buffer, _ geometry: ResizeGeometry) throws
}
