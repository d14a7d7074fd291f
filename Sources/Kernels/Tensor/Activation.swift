/// The activation that an operation ends with; a convolution and a norm compute it in their own kernel.
public enum Activation {
  /// x as it is.
  case identity
  /// max(x, 0).
  case relu
  /// x, or the slope times x where x is negative.
  case leakyReLU(Float)
  /// x, or the channel's slope times x where x is negative; one value a channel, [C] (He et al., 2015).
  case prelu(Tensor)

  /// What negative values are multiplied with, where that is one number for all channels.
  var slope: Float? {
    switch self {
    case .identity: 1
    case .relu: 0
    case .leakyReLU(let slope): slope
    case .prelu: nil
    }
  }
}

@available(*, unavailable)
extension Activation: Sendable {}

extension Tensor {
  /// The activation of each value, in an operation of its own.
  /// - Throws: `KernelsError.shape` where PReLU's slopes are not one a channel (axis 1).
  public func activated(by activation: Activation) throws -> Tensor {
    switch activation {
    case .identity: self
    case .relu: try relu()
    case .leakyReLU(let slope): try leakyReLU(slope: slope)
    case .prelu(let slopes): try prelu(slope: slopes)
    }
  }
}
