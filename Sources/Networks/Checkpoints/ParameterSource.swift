import Kernels

/// Something with trainable tensors under the names of its official checkpoints.
public protocol Network {
  /// The tensors by their official names, running statistics of norms included. What is set has the names and shapes of before.
  var parameters: [String: Tensor] { get set }
}

extension Network {
  /// The same network with other values for some parameters (leaves that gradients are taken of).
  package func replacing(_ values: [String: Tensor]) -> Self {
    var copy = self
    copy.parameters.merge(values) { $1 }
    return copy
  }

  /// The parameters that an optimiser moves: all but the running statistics of norms.
  package var trainable: [String: Tensor] { parameters.filter { !$0.key.contains(".running_") } }
}

/// How fresh weights are drawn.
package enum Initialization: Sendable {
  /// Weights and biases uniform in +-1 / sqrt(fan-in), as PyTorch's layers.
  case uniform
  /// Weights uniform with variance 2 / fan-in, or 1 / fan-in where no rectifier goes before; biases 0 (He et al., 2015).
  case kaiming
}

/// Where a network's parameters come from while it is put together: a checkpoint, or fresh draws. So each network says
/// the names and shapes of its parameters once.
struct ParameterSource {
  private let state: StateDictionary?
  private let initialization: Initialization
  private var random: RandomStream
  private let device: (any Device)?
  private(set) var parameters: [String: Tensor] = [:]
  private var ignored: Set<String> = []

  /// A checkpoint's.
  init(_ state: StateDictionary) {
    (self.state, device, initialization, random) = (state, nil, .uniform, RandomStream(seed: 0))
  }

  /// Fresh ones.
  init(seed: UInt64, device: any Device, _ initialization: Initialization = .uniform) {
    (state, self.device, self.initialization, random) = (nil, device, initialization, RandomStream(seed: seed))
  }

  /// A weight; its fan-in is all but the first extent.
  mutating func weight(_ name: String, _ shape: Shape, rectified: Bool = true) throws {
    let initialization = initialization
    try add(name, shape) { random, device in
      let fan = Float(shape.dropFirst().reduce(1, *))
      let variances: Float = initialization == .uniform ? 1 : rectified ? 6 : 3
      let bound = (variances / fan).squareRoot()
      return try random.uniform(shape, in: -bound..<bound, device: device)
    }
  }

  /// The bias that goes with a weight of shape `weight`.
  mutating func bias(_ name: String, _ count: Int, for weight: Shape) throws {
    let initialization = initialization
    try add(name, [count]) { random, device in
      guard initialization == .uniform else { return try Tensor(repeating: 0, shape: [count], device: device) }
      let bound = 1 / Float(weight.dropFirst().reduce(1, *)).squareRoot()
      return try random.uniform([count], in: -bound..<bound, device: device)
    }
  }

  /// A weight `NAME.weight`, and its bias `NAME.bias` where it has one.
  /// - Parameter rectified: whether what it weighs comes from a rectifier.
  mutating func layer(_ name: String, _ shape: Shape, bias count: Int? = nil, rectified: Bool = true) throws {
    try weight("\(name).weight", shape, rectified: rectified)
    if let count { try bias("\(name).bias", count, for: shape) }
  }

  /// A convolution's weight `NAME.weight` and bias `NAME.bias`, the norm after it folded in where a checkpoint has it apart.
  mutating func convolution(_ name: String, _ shape: Shape, norm: String? = nil) throws {
    guard let state else { return try layer(name, shape, bias: shape[0]) }
    let folded = try state.convolution(name, norm: norm, shape)
    (parameters["\(name).weight"], parameters["\(name).bias"]) = (folded.weight, folded.bias)
    ignored.formUnion(folded.names)
  }

  /// A parameter that starts with one value everywhere.
  mutating func constant(_ name: String, _ shape: Shape, _ value: Float) throws {
    try add(name, shape) { _, device in try Tensor(repeating: value, shape: shape, device: device) }
  }

  /// The scale and shift of a norm.
  mutating func norm(_ name: String, _ shape: Shape) throws {
    try constant("\(name).weight", shape, 1)
    try constant("\(name).bias", shape, 0)
  }

  /// The running statistics of a norm, and its count of batches, which nothing needs.
  /// - Parameter required: otherwise they are taken only where a checkpoint has them.
  mutating func runningStatistics(_ name: String, _ channels: Int, required: Bool) throws {
    for (part, value) in [("running_mean", 0), ("running_var", 1)] as [(String, Float)] {
      if required || state?.tensors["\(name).\(part)"] != nil { try constant("\(name).\(part)", [channels], value) }
    }
    ignored.insert("\(name).num_batches_tracked")
  }

  /// All parameters.
  /// - Throws: `FileError` when the checkpoint has others besides.
  func finished() throws -> [String: Tensor] {
    try state?.requireNothing(besides: ignored.union(parameters.keys))
    return parameters
  }

  private mutating func add(
    _ name: String, _ shape: Shape, fresh: (inout RandomStream, any Device) throws -> Tensor
  ) throws {
    parameters[name] = try state?.require(name, shape) ?? fresh(&random, device!)
  }
}
