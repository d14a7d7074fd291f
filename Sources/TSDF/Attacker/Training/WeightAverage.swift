import Kernels
import Networks

/// An exponential average of a network's weights over the steps of its training, which is used in their place: in a game against a
/// critic they swing around what they are trained for.
struct WeightAverage {
  /// What a step keeps of the average, at least 0 and below 1.
  let decay: Float
  /// By name, as the network's.
  var parameters: [String: Tensor]

  /// - Parameter network: what the average is at first.
  init(decay: Float, of network: some Network) throws {
    self.decay = decay
    // Optimisers work in place, so the average needs tensors of its own.
    parameters = try network.parameters.mapValues { try $0.copy() }
  }

  /// Takes in the weights after a step.
  mutating func add(_ network: some Network) throws {
    for (name, value) in network.parameters {
      parameters[name] = try parameters[name]! * decay + value * (1 - decay)
    }
  }
}
