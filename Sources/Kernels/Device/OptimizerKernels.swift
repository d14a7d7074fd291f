/// What a back end provides for `Tensor/Optimizer.swift`. All steps are in place; `scale` holds one factor for the gradient.
public protocol OptimizerKernels {
  func adamStep(
    _ gradient: Buffer, scale: Buffer, parameter: Buffer, m: Buffer, v: Buffer, count: Int, _ step: AdamStep) throws
  func signStep(
    _ gradient: Buffer, scale: Buffer, centre: Buffer, parameter: Buffer, m: Buffer, count: Int, stepSize: Float,
    momentum: Float, bound: Float) throws
}

/// The scalars of one step of Adam; `correction` is 1 - beta^t.
public struct AdamStep: Sendable {
  public var learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, correction1: Float, correction2: Float
}
