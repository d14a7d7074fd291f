import Foundation

/// Adam (Kingma and Ba, 2015) over named parameters, as PyTorch's `torch.optim.Adam`.
public final class Adam {
  /// The size of a step; it may change between steps.
  public var learningRate: Float
  /// The decays of the means of gradients and of their squares, at least 0 and below 1, and what is added to the divisor.
  public let beta1: Float, beta2: Float, epsilon: Float
  /// Steps taken.
  public private(set) var stepCount: Int
  /// The moments by parameter name, for checkpoints: `NAME.m`, `NAME.v`.
  public private(set) var state: [String: Tensor]

  /// An optimizer that has taken no step.
  public init(learningRate: Float, beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8) {
    (self.learningRate, self.beta1, self.beta2, self.epsilon) = (learningRate, beta1, beta2, epsilon)
    (stepCount, state) = (0, [:])
  }

  /// Continues from a checkpoint's moments, named as in `state`.
  public func restore(stepCount: Int, state: [String: Tensor]) {
    (self.stepCount, self.state) = (stepCount, state)
  }

  /// Updates the parameters in place. A gradient has its parameter's shape; `scale`, a one-element tensor, multiplies every
  /// gradient.
  public func step(_ parameters: [(name: String, value: Tensor, gradient: Tensor)], scale: Tensor? = nil) throws {
    stepCount += 1
    let step = AdamStep(
      learningRate: learningRate, beta1: beta1, beta2: beta2, epsilon: epsilon,
      correction1: 1 - Float(pow(Double(beta1), Double(stepCount))),
      correction2: 1 - Float(pow(Double(beta2), Double(stepCount))))
    guard let device = parameters.first?.value.device else { return }
    let scale = try scale ?? Tensor(repeating: 1, shape: [1], device: device)
    try requireFactor(scale, "Adam")
    for (name, value, gradient) in parameters {
      func moment(_ key: String) throws -> Tensor {
        try state["\(name).\(key)"] ?? Tensor(repeating: 0, shape: value.shape, device: device)
      }
      let (m, v) = (try moment("m"), try moment("v"))
      try parameters[0].value.requireSameDevice(as: value, gradient, m, v, scale, for: "Adam")
      for (what, tensor) in [("gradient", gradient), ("first moment", m), ("second moment", v)]
      where tensor.shape != value.shape {
        throw KernelsError.shape(operation: "Adam", "\(name) is \(value.shape), its \(what) \(tensor.shape)")
      }
      (state["\(name).m"], state["\(name).v"]) = (m, v)
      try device.adamStep(
        gradient.buffer, scale: scale.buffer, parameter: value.buffer, m: m.buffer, v: v.buffer, count: value.count,
        step)
      value.buffer.contentsDidChange()
    }
  }
}

@available(*, unavailable)
extension Adam: Sendable {}

/// Refuses a scale of gradients that is not one number: the kernels read its first.
private func requireFactor(_ scale: Tensor, _ operation: String) throws {
  guard scale.count == 1 else {
    throw KernelsError.shape(operation: operation, "the scale is one number, not \(scale.shape)")
  }
}

/// The learning rate of cosine annealing from `initial` to 0: step 0 of `count` gets `initial`
/// (Loshchilov and Hutter, 2017, without restarts).
public func cosineAnnealedRate(_ initial: Float, step: Int, of count: Int) -> Float {
  initial * 0.5 * (1 + Float(cos(Double.pi * Double(step) / Double(count))))
}

extension Tensor {
  /// Takes one projected sign step in place: velocity <- scale * gradient + momentum * velocity, then
  /// this <- clamp(this - stepSize * sign(velocity), centre +- bound), as Dong et al. (2018). Both change for every tensor
  /// that shares their memory.
  /// - Parameters:
  ///   - gradient: of this tensor's shape.
  ///   - scale: one number, [1]; 1 by default.
  ///   - centre: of this tensor's shape.
  ///   - velocity: likewise; it changes too.
  ///   - stepSize: what each value moves by.
  ///   - momentum: the share of the velocity that is kept.
  ///   - bound: the most that a value may differ from the centre's.
  /// - Throws: `KernelsError.shape` where shapes differ.
  public func takeSignStep(
    gradient: Tensor, scale: Tensor? = nil, centre: Tensor, velocity: Tensor, stepSize: Float, momentum: Float,
    bound: Float
  ) throws {
    guard [gradient.shape, centre.shape, velocity.shape].allSatisfy({ $0 == shape }) else {
      throw KernelsError.shape(
        operation: "sign step",
        "value \(shape), gradient \(gradient.shape), centre \(centre.shape), velocity \(velocity.shape)")
    }
    let scale = try scale ?? Tensor(repeating: 1, shape: [1], device: device)
    try requireFactor(scale, "sign step")
    try requireSameDevice(as: gradient, centre, velocity, scale, for: "sign step")
    try device.signStep(
      gradient.buffer, scale: scale.buffer, centre: centre.buffer, parameter: buffer, m: velocity.buffer, count: count,
      stepSize: stepSize, momentum: momentum, bound: bound)
    buffer.contentsDidChange()
  }
}
