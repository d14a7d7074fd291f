/// Which elements share statistics: a group. Instance norm has one plane a group, batch norm one an image.
public struct NormGeometry: Sendable {
  /// Group g, of `groups`, belongs to channel g % channels; it has `planes` planes of `area` elements, `planeStride` apart.
  public var channels: Int, groups: Int, planes: Int, area: Int, planeStride: Int
  /// What keeps the divisor from being 0.
  public var epsilon: Float
  /// Divide by the unbiased deviation plus epsilon instead of the root of the biased variance plus epsilon.
  public var isUnbiased = false
}

/// What a back end provides for `Tensor/Normalization.swift`.
public protocol NormalizationKernels {
  /// y = leakyReLU((x - mean) / deviation * gamma + beta; slope) (+ residual); statistics gets (mean, 1 / deviation)
  /// for each group.
  func normalize(
    _ x: Buffer, gamma: Buffer, beta: Buffer, residual: Buffer?, into y: Buffer, statistics: Buffer,
    _ geometry: NormGeometry, slope: Float) throws
  /// dx, which may be dy's memory, and for each group (the sum of g * h, the sum of g) with h the normalised value and g the
  /// gradient before the activation.
  func normalizeGradient(
    _ x: Buffer, _ dy: Buffer, gamma: Buffer, beta: Buffer, statistics: Buffer, into dx: Buffer, sums: Buffer,
    _ geometry: NormGeometry, slope: Float) throws
  /// The gradient of `normalizeGradient`'s dx, u coming in: dx, which may be u's memory, ddy, and dgamma for each group.
  func normalizeSecondGradient(
    _ x: Buffer, _ dy: Buffer, _ u: Buffer, gamma: Buffer, beta: Buffer, statistics: Buffer, into dx: Buffer,
    ddy: Buffer, dgamma: Buffer, _ geometry: NormGeometry, slope: Float) throws
}
