extension Tensor {
  /// The function of each element; `a` and `b` are its scalars.
  package func unary(_ operation: UnaryOperation, a: Float = 0, b: Float = 0) throws -> Tensor {
    let output = try device.allocate(count)
    try device.unary(operation, buffer, into: output, count: count, a: a, b: b)
    return Tensor(shape: shape, device: device, buffer: output)
  }

  /// The function of the elements of two tensors, broadcasting; `parameter` is its scalar.
  package static func binary(_ operation: BinaryOperation, _ x: Tensor, _ y: Tensor, parameter: Float = 0) throws
    -> Tensor
  {
    try x.requireSameDevice(as: y, for: operation.rawValue)
    let shape = try broadcastShape(operation.rawValue, x.shape, y.shape)
    let layout = try StridedLayout(
      operation: operation.rawValue, shape: shape,
      strides: [broadcastStrides(x.shape, to: shape), broadcastStrides(y.shape, to: shape)])
    let output = try x.device.allocate(shape.elementCount)
    try x.device.binary(operation, x.buffer, y.buffer, into: output, layout: layout, parameter: parameter)
    return Tensor(shape: shape, device: x.device, buffer: output)
  }

  /// Refuses operands on other devices than this one's: kernels could not reach them.
  func requireSameDevice(as others: Tensor?..., for operation: String) throws {
    for case let other? in others where device !== other.device {
      throw KernelsError.usage("\(operation): the tensors are on \(device.name) and on \(other.device.name)")
    }
  }

  /// The gradient of a broadcast: summed over the axes along which `shape` was repeated.
  func summed(toShape target: Shape) throws -> Tensor {
    if shape == target { return self }
    let lead = rank - target.count
    let axes = shape.indices.filter { $0 < lead || (target[$0 - lead] == 1 && shape[$0] != 1) }
    return try (axes.isEmpty ? self : sum(axes: axes, keepingAxes: true)).reshaped(target)
  }

  // MARK: Arithmetic

  /// a * x + b for scalars a and b.
  public func scaled(by a: Float, plus b: Float = 0) throws -> Tensor {
    try unary(.affine, a: a, b: b).recorded("affine", [self]) { g, _ in [try g.scaled(by: a)] }
  }

  /// The sum, broadcasting.
  public static func + (x: Tensor, y: Tensor) throws -> Tensor {
    try binary(.add, x, y).recorded("add", [x, y]) { [s = x.shape, t = y.shape] g, wanted in
      [wanted[0] ? try g.summed(toShape: s) : nil, wanted[1] ? try g.summed(toShape: t) : nil]
    }
  }

  /// The difference, broadcasting.
  public static func - (x: Tensor, y: Tensor) throws -> Tensor {
    try binary(.subtract, x, y).recorded("subtract", [x, y]) { [s = x.shape, t = y.shape] g, wanted in
      [wanted[0] ? try g.summed(toShape: s) : nil, wanted[1] ? try (-g).summed(toShape: t) : nil]
    }
  }

  /// The elementwise product, broadcasting.
  public static func * (x: Tensor, y: Tensor) throws -> Tensor {
    // Each factor is kept only if the other one's gradient can be asked for.
    let (keptX, keptY) = (y.isTracked ? x : nil, x.isTracked ? y : nil)
    return try binary(.multiply, x, y).recorded("multiply", [x, y]) { [s = x.shape, t = y.shape] g, wanted in
      [
        wanted[0] ? try (g * keptY!).summed(toShape: s) : nil,
        wanted[1] ? try (g * keptX!).summed(toShape: t) : nil,
      ]
    }
  }

  /// The elementwise quotient, broadcasting.
  public static func / (x: Tensor, y: Tensor) throws -> Tensor {
    try binary(.divide, x, y).recorded("divide", [x, y]) { g, wanted in
      [
        wanted[0] ? try (g / y).summed(toShape: x.shape) : nil,
        wanted[1] ? try (-(g * x / (y * y))).summed(toShape: y.shape) : nil,
      ]
    }
  }

  /// Each element negated.
  public static prefix func - (x: Tensor) throws -> Tensor { try x.scaled(by: -1) }
  /// The number added to each element.
  public static func + (x: Tensor, b: Float) throws -> Tensor { try x.scaled(by: 1, plus: b) }
  /// The number taken from each element.
  public static func - (x: Tensor, b: Float) throws -> Tensor { try x.scaled(by: 1, plus: -b) }
  /// Each element taken from the number.
  public static func - (a: Float, x: Tensor) throws -> Tensor { try x.scaled(by: -1, plus: a) }
  /// Each element times the number.
  public static func * (x: Tensor, a: Float) throws -> Tensor { try x.scaled(by: a) }
  /// Each element times the number.
  public static func * (a: Float, x: Tensor) throws -> Tensor { try x.scaled(by: a) }
  /// Each element times the reciprocal of the number.
  public static func / (x: Tensor, a: Float) throws -> Tensor { try x.scaled(by: 1 / a) }

  /// The elementwise larger value; where equal, the gradient goes to the second.
  public func maximum(_ other: Tensor) throws -> Tensor {
    try selecting(.maximum, other) { try Tensor.binary(.greater, $0, $1) }
  }

  /// The elementwise smaller value; where equal, the gradient goes to the second.
  public func minimum(_ other: Tensor) throws -> Tensor {
    try selecting(.minimum, other) { try Tensor.binary(.greater, $1, $0) }
  }

  private func selecting(
    _ operation: BinaryOperation, _ other: Tensor, takesFirst: @escaping (Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    try Tensor.binary(operation, self, other).recorded(operation.rawValue, [self, other]) { [self] g, wanted in
      let mask = try takesFirst(detached(), other.detached())
      return [
        wanted[0] ? try (g * mask).summed(toShape: shape) : nil,
        wanted[1] ? try (g * (1 - mask)).summed(toShape: other.shape) : nil,
      ]
    }
  }

  /// 1 where this is greater than `other` (broadcasting), else 0; a constant.
  public func greater(than other: Tensor) throws -> Tensor { try Tensor.binary(.greater, self, other) }

  /// 1 where low <= x <= high, else 0; a constant, through which no gradient passes.
  public func mask(within range: ClosedRange<Float>) throws -> Tensor {
    try unary(.inside, a: range.lowerBound, b: range.upperBound)
  }

  // MARK: Functions

  /// max(x, 0)
  public func relu() throws -> Tensor {
    let y = try unary(.relu)
    guard isTracked else { return y }
    let kept = try KeptTensor(y)
    return y.recorded("relu", [self]) { g, _ in [try kept.restored().reluGradient(g)] }
  }

  /// g where this is positive, else 0: linear in g, and constant in this almost everywhere.
  private func reluGradient(_ g: Tensor) throws -> Tensor {
    try Tensor.binary(.reluGradient, self, g).recorded("reluGradient", [g]) { [mask = detached()] h, _ in
      [try mask.reluGradient(h)]
    }
  }

  /// x, or slope * x where x is negative.
  public func leakyReLU(slope: Float = 0.01) throws -> Tensor {
    let y = try unary(.leakyReLU, a: slope)
    guard isTracked else { return y }
    let kept = try KeptTensor(y)
    return y.recorded("leakyReLU", [self]) { g, _ in [try kept.restored().leakyReLUGradient(g, slope)] }
  }

  /// This being the output (or input) of a leaky ReLU, the gradient of its input.
  func leakyReLUGradient(_ g: Tensor, _ slope: Float) throws -> Tensor {
    try Tensor.binary(.leakyReLUGradient, self, g, parameter: slope).recorded("leakyReLUGradient", [g]) {
      [mask = detached()] h, _ in [try mask.leakyReLUGradient(h, slope)]
    }
  }

  /// x, or slope[c] * x where x is negative; `slope` holds one value a channel (axis 1).
  public func prelu(slope: Tensor) throws -> Tensor {
    guard rank >= 2, slope.shape == [shape[1]] else {
      throw KernelsError.shape(operation: "prelu", "input \(shape) needs one slope a channel, not \(slope.shape)")
    }
    let aligned = try slope.reshaped([shape[1]] + [Int](repeating: 1, count: rank - 2))
    return try Tensor.binary(.prelu, self, aligned).recorded("prelu", [self, aligned]) { [self] g, wanted in
      // Both factors are constant almost everywhere but for the slope inside the first.
      let factor = try aligned.preluFactor(of: self)
      return [
        wanted[0] ? try g * factor : nil,
        wanted[1]
          ? try (g * minimum(Tensor(repeating: 0, shape: [1], device: device))).summed(toShape: aligned.shape) : nil,
      ]
    }
  }

  /// 1 where x > 0, else this slope: d prelu / dx.
  private func preluFactor(of x: Tensor) throws -> Tensor {
    try Tensor.binary(.preluSlope, x, self).recorded("preluSlope", [self]) { [self] g, _ in
      let negative = try x.detached().mask(within: -.infinity...0)
      return [try (g * negative).summed(toShape: shape)]
    }
  }

  /// Hyperbolic tangent.
  public func tanh() throws -> Tensor {
    try unary(.tanh).recordedWithOutput("tanh", self) { y, g in try y.curveGradient(.tanhGradient, g) { try $0 * -2 } }
  }

  /// 1 / (1 + e^-x)
  public func sigmoid() throws -> Tensor {
    try unary(.sigmoid).recordedWithOutput("sigmoid", self) { y, g in
      try y.curveGradient(.sigmoidGradient, g) { try 1 - $0 * 2 }
    }
  }

  /// g * f(y) for the derivative f of a curve given by its own value; `slope` is df/dy.
  private func curveGradient(
    _ operation: BinaryOperation, _ g: Tensor, slope: @escaping (Tensor) throws -> Tensor
  ) throws -> Tensor {
    try Tensor.binary(operation, self, g).recorded(operation.rawValue, [self, g]) { [self] h, wanted in
      [wanted[0] ? try h * g * slope(self) : nil, wanted[1] ? try curveGradient(operation, h, slope: slope) : nil]
    }
  }

  /// log(1 + e^x), without overflow.
  public func softplus() throws -> Tensor {
    try unary(.softplus).recorded("softplus", [self]) { [self] g, _ in [try g * sigmoid()] }
  }

  /// e^x
  public func exp() throws -> Tensor {
    try unary(.exp).recordedWithOutput("exp", self) { y, g in try g * y }
  }

  /// Natural logarithm.
  public func log() throws -> Tensor {
    try unary(.log).recorded("log", [self]) { [self] g, _ in [try g / self] }
  }

  /// Square root. The gradient at 0 is infinite.
  public func sqrt() throws -> Tensor {
    try unary(.sqrt).recordedWithOutput("sqrt", self) { y, g in try g / (y * 2) }
  }

  /// 1 / x
  public func reciprocal() throws -> Tensor {
    try unary(.reciprocal).recordedWithOutput("reciprocal", self) { y, g in try -(g * y * y) }
  }

  /// x^exponent
  public func power(_ exponent: Float) throws -> Tensor {
    try unary(.power, a: exponent).recorded("power", [self]) { [self] g, _ in
      [try g * power(exponent - 1) * exponent]
    }
  }

  /// x * x
  public func squared() throws -> Tensor { try self * self }

  /// |x|; its gradient is the sign, 0 at 0.
  public func abs() throws -> Tensor {
    try unary(.abs).recorded("abs", [self]) { [self] g, _ in [try g * sign()] }
  }

  /// -1, 0 or 1; a constant as gradients go.
  public func sign() throws -> Tensor { try unary(.sign) }

  /// The nearest whole number, halves to the even one; a constant as gradients go.
  public func rounded() throws -> Tensor { try unary(.round) }

  /// The values of another tensor of this shape with this one's place in the graph: what a function without a useful gradient
  /// gives, with the gradient of one that is near it ("straight-through"; Bengio, Leonard, Courville, 2013).
  public func withValues(of other: Tensor) throws -> Tensor {
    guard other.shape == shape else {
      throw KernelsError.shape(operation: "straight-through", "\(other.shape) cannot stand for \(shape)")
    }
    try requireSameDevice(as: other, for: "straight-through")
    return other.detached().recorded("straight-through", [self]) { g, _ in [g] }
  }

  /// x limited to a range; the gradient is 0 outside it.
  public func clamped(to range: ClosedRange<Float>) throws -> Tensor {
    try unary(.clamp, a: range.lowerBound, b: range.upperBound).recorded("clamp", [self]) { [self] g, _ in
      [try g * detached().mask(within: range)]
    }
  }

  /// This value as the result of a function whose derivative is written in terms of it.
  private func recordedWithOutput(
    _ operation: String, _ input: Tensor, gradient: @escaping (_ y: Tensor, _ g: Tensor) throws -> Tensor
  ) -> Tensor {
    guard input.isTracked else { return self }
    // The output is kept without its node (the node would own itself); for a second derivative it is recorded
    // anew as the same function of the input.
    let plain = self
    return recorded(operation, [input]) { g, _ in
      let y = Autograd.isRecording ? plain.recordedWithOutput(operation, input, gradient: gradient) : plain
      return [try gradient(y, g)]
    }
  }
}
