/// What a back end provides for `Tensor/Optimizer.swift`. All steps are in place; `scale` holds one factor for the gradient.
public protocol OptimizerKernels {
  /// m and v <- the decayed means of the gradient and of its square, then
  /// parameter <- parameter - learningRate * (m / correction1) / (sqrt(v / correction2) + epsilon), over `count` elements.
  func adamStep(
    _ gradient: Buffer, scale: Buffer, parameter: Buffer, m: Buffer, v: Buffer, count: Int, _ step: AdamStep) throws
  /// m <- scale * gradient + momentum * m, then parameter <- clamp(parameter - stepSize * sign(m), centre +- bound), over
  /// `count` elements.
  func signStep(
    _ gradient: Buffer, scale: Buffer, centre: Buffer, parameter: Buffer, m: Buffer, count: Int, stepSize: Float,
    momentum: Float, bound: Float) throws
}

/// The scalars of one step of Adam (Kingma and Ba, 2015).
public struct AdamStep: Sendable {
  /// As in `Adam`; the corrections are 1 - beta1^t and 1 - beta2^t at step t, from 1.
  public var learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, correction1: Float, correction2: Float
}
