/// Elementwise functions of one tensor; `a` and `b` are the scalars that `UnaryOperation` names.
public enum UnaryOperation: String, CaseIterable, Sendable {
  /// a * x + b
  case affine
  case relu
  /// x, or a * x where x < 0
  case leakyReLU
  case tanh, sigmoid
  /// log(1 + e^x)
  case softplus
  case exp, log, sqrt, abs
  /// -1, 0 or 1
  case sign
  /// To the nearest whole number, halves to the even one.
  case round
  /// x limited to a ... b
  case clamp
  /// 1 where a <= x <= b, else 0
  case inside
  /// x^a
  case power
  case reciprocal
}

/// Elementwise functions of two tensors that broadcast; `p` is a scalar.
public enum BinaryOperation: String, CaseIterable, Sendable {
  case add, subtract, multiply, divide, maximum, minimum
  /// 1 where the first is greater (equal), else 0
  case greater, equal
  /// (x, dy): dy where x > 0, else 0 (p * dy)
  case reluGradient, leakyReLUGradient
  /// (y, dy): dy (1 - y^2), dy y (1 - y)
  case tanhGradient, sigmoidGradient
  /// (x, slope): x where x > 0, else slope * x; 1 where x > 0, else slope
  case prelu, preluSlope
}

/// What a back end provides for `Tensor/Elementwise.swift`.
public protocol ElementwiseKernels {
  /// y = operation(x; a, b) over `count` elements.
  func unary(_ operation: UnaryOperation, _ x: Buffer, into y: Buffer, count: Int, a: Float, b: Float) throws
  /// y = operation(a, b; parameter) over the layout, whose operands are a and b; y is contiguous.
  func binary(
    _ operation: BinaryOperation, _ a: Buffer, _ b: Buffer, into y: Buffer, layout: StridedLayout, parameter: Float
  ) throws
}
