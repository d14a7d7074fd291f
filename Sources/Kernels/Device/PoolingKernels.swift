/// The extents and parameters of a 2-D pooling over `planes` planes (batch times channels).
public struct PoolGeometry: Sendable {
  public var planes: Int, height: Int, width: Int, outHeight: Int, outWidth: Int
  public var size: Int, stride: Int, padding: Int
}

/// What a back end provides for `Tensor/Pooling.swift`.
public protocol PoolingKernels {
  /// y, and, where a gradient is to follow, the winning position in its plane of each output, as 32-bit indices.
  func maxPool(_ x: Buffer, into y: Buffer, winners: Buffer?, _ geometry: PoolGeometry) throws
  func maxPoolGradient(_ dy: Buffer, winners: Buffer, into dx: Buffer, _ geometry: PoolGeometry) throws
  /// y[o] = x[winners[o]], plane by plane: the adjoint of `maxPoolGradient`.
  func maxPoolGather(_ x: Buffer, winners: Buffer, into y: Buffer, _ geometry: PoolGeometry) throws
  /// As `maxPool`, the median instead of the largest; the stride is 1, the padding half of the size, which is odd.
  func medianPool(_ x: Buffer, into y: Buffer, winners: Buffer?, _ geometry: PoolGeometry) throws
  func averagePool(_ x: Buffer, into y: Buffer, _ geometry: PoolGeometry) throws
  func averagePoolGradient(_ dy: Buffer, into dx: Buffer, _ geometry: PoolGeometry) throws
}
