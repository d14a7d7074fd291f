import Foundation

extension CPUDevice: ElementwiseKernels {
  package func unary(_ operation: UnaryOperation, _ x: Buffer, into y: Buffer, count: Int, a: Float, b: Float) throws {
    let (x, y) = try (x.floats, y.floats)
    // One loop an operation, so that the compiler sees the function inside it.
    func map(_ f: (Float) -> Float) {
      parallel(count, grain: 4096) { for i in $0 { y[i] = f(x[i]) } }
    }
    switch operation {
    case .affine: map { a * $0 + b }
    case .relu: map { $0 < 0 ? 0 : $0 }
    case .leakyReLU: map { $0 < 0 ? a * $0 : $0 }
    case .tanh: map { Foundation.tanh($0) }
    case .sigmoid: map { 1 / (1 + Foundation.exp(-$0)) }
    case .softplus: map { max($0, 0) + log1p(Foundation.exp(-Swift.abs($0))) }
    case .exp: map { Foundation.exp($0) }
    case .log: map { Foundation.log($0) }
    case .sqrt: map { $0.squareRoot() }
    case .abs: map { Swift.abs($0) }
    case .sign: map { $0 > 0 ? 1 : ($0 < 0 ? -1 : $0) }
    case .round: map { $0.rounded(.toNearestOrEven) }
    case .clamp: map { $0 < a ? a : ($0 > b ? b : $0) }
    case .inside: map { $0 >= a && $0 <= b ? 1 : 0 }
    case .power: map { pow($0, a) }
    case .reciprocal: map { 1 / $0 }
    }
  }

  package func binary(
    _ operation: BinaryOperation, _ a: Buffer, _ b: Buffer, into y: Buffer, layout: StridedLayout, parameter p: Float
  ) throws {
    let (a, b, y) = try (a.floats, b.floats, y.floats)
    let width = layout.shape[3]
    let (stepA, stepB) = (layout.strides[0][3], layout.strides[1][3])
    func map(_ f: (Float, Float) -> Float) {
      parallel(layout.rows, grain: max(1, 4096 / width)) { rows in
        for row in rows {
          let (from, other) = (a + layout.offset(row, 0), b + layout.offset(row, 1))
          let to = y + row * width
          if stepA == 1 && stepB == 1 {
            for i in 0..<width { to[i] = f(from[i], other[i]) }
          } else {
            for i in 0..<width { to[i] = f(from[i &* stepA], other[i &* stepB]) }
          }
        }
      }
    }
    switch operation {
    case .add: map { $0 + $1 }
    case .subtract: map { $0 - $1 }
    case .multiply: map { $0 * $1 }
    case .divide: map { $0 / $1 }
    case .maximum: map { $0 > $1 ? $0 : $1 }
    case .minimum: map { $0 < $1 ? $0 : $1 }
    case .greater: map { $0 > $1 ? 1 : 0 }
    case .equal: map { $0 == $1 ? 1 : 0 }
    case .reluGradient: map { $0 > 0 ? $1 : 0 }
    case .leakyReLUGradient: map { $0 > 0 ? $1 : p * $1 }
    case .tanhGradient: map { $1 * (1 - $0 * $0) }
    case .sigmoidGradient: map { $1 * $0 * (1 - $0) }
    case .prelu: map { $0 > 0 ? $0 : $0 * $1 }
    case .preluSlope: map { $0 > 0 ? 1 : $1 }
    }
  }
}

extension StridedLayout {
  /// Where row `row` of the innermost axis starts in an operand.
  func offset(_ row: Int, _ operand: Int) -> Int {
    let s = strides[operand]
    return row / shape[2] / shape[1] * s[0] + row / shape[2] % shape[1] * s[1] + row % shape[2] * s[2]
  }
}
