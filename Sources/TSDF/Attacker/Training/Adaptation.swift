import Kernels
import Networks

/// What of a generator is trained: its parameters, all or some, or low-rank patches of its convolutions.
struct Adaptation {
  /// Parameters whose names begin with one of these stay as they are.
  var frozen: [String] = []
  /// For each patched weight W [o, ...] of n elements: `NAME.down` A [rank, n / o], `NAME.up` B [o, rank], `NAME.gate` g [1]; the
  /// network computes with W + sigmoid(g) B A (Hu et al., 2022; gated as in LoRA patching, arXiv 2510.03747). Empty where
  /// the parameters themselves are trained.
  var patches: [String: Tensor] = [:]

  init(frozen: [String] = []) { self.frozen = frozen }

  /// Patches that change nothing yet: A is drawn, B is 0.
  init(rank: Int, of network: some Network, frozen: [String], seed: UInt64) throws {
    self.frozen = frozen
    var random = RandomStream(seed: seed)
    let weights = network.trainable.filter { $0.value.rank == 4 && !isFrozen($0.key) }
    guard let device = weights.first?.value.device else {
      throw KernelsError.usage("there is no convolution to patch: all are frozen")
    }
    for (name, weight) in weights.sorted(by: { $0.key < $1.key }) {
      let (rows, columns) = (weight.shape[0], weight.count / weight.shape[0])
      let bound = 1 / Float(columns).squareRoot()
      patches["\(name).down"] = try random.uniform([rank, columns], in: -bound..<bound, device: device)
      patches["\(name).up"] = try Tensor(repeating: 0, shape: [rows, rank], device: device)
      patches["\(name).gate"] = try Tensor(repeating: 0, shape: [1], device: device)
    }
  }

  private func isFrozen(_ name: String) -> Bool { frozen.contains { name.hasPrefix($0) } }

  /// The trained tensors as leaves that gradients are taken of.
  func leaves(of network: some Network) -> [String: Tensor] {
    let trained = patches.isEmpty ? network.trainable.filter { !isFrozen($0.key) } : patches
    return trained.mapValues { $0.requiringGradient() }
  }

  /// The network with these values of the trained tensors.
  func applied<N: Network>(_ values: [String: Tensor], to network: N) throws -> N {
    guard !patches.isEmpty else { return network.replacing(values) }
    var patched: [String: Tensor] = [:]
    for (name, up) in values where name.hasSuffix(".up") {
      let weight = String(name.dropLast(".up".count))
      let whole = network.parameters[weight]!
      let change = try up.matrixMultiplied(by: values["\(weight).down"]!) * values["\(weight).gate"]!.sigmoid()
      patched[weight] = try whole + change.reshaped(whole.shape)
    }
    return network.replacing(patched)
  }

  /// The network as it is trained so far.
  func applied<N: Network>(to network: N) throws -> N { try patches.isEmpty ? network : applied(patches, to: network) }
}
