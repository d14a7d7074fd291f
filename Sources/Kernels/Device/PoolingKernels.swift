/// The extents and parameters of a 2-D pooling over `planes` planes (batch times channels).
public struct PoolGeometry: Sendable {
  /// The planes, and the extents of one before and after.
  public var planes: Int, height: Int, width: Int, outHeight: Int, outWidth: Int
  /// The window's side, its stride, and the padding around the plane, along both axes.
  public var size: Int, stride: Int, padding: Int
}

/// What a back end provides for `Tensor/Pooling.swift`.
public protocol PoolingKernels {
  /// y, and, where a gradient is to follow, the winning position in its plane of each output, as 32-bit indices.
  func maxPool(_ x: Buffer, into y: Buffer, winners: Buffer?, _ geometry: PoolGeometry) throws
  /// dx = dy summed at the winning positions, of `maxPool` or `medianPool`; 0 elsewhere.
  func maxPoolGradient(_ dy: Buffer, winners: Buffer, into dx: Buffer, _ geometry: PoolGeometry) throws
  /// y[o] = x[winners[o]], plane by plane: the adjoint of `maxPoolGradient`.
  func maxPoolGather(_ x: Buffer, winners: Buffer, into y: Buffer, _ geometry: PoolGeometry) throws
  /// As `maxPool`, the median instead of the largest; the stride is 1, the padding half of the size, which is odd.
  func medianPool(_ x: Buffer, into y: Buffer, winners: Buffer?, _ geometry: PoolGeometry) throws
  /// The mean of each window, zero padding counted in it, but not what lies beyond.
  func averagePool(_ x: Buffer, into y: Buffer, _ geometry: PoolGeometry) throws
  /// The adjoint of `averagePool`.
  func averagePoolGradient(_ dy: Buffer, into dx: Buffer, _ geometry: PoolGeometry) throws
}
