/// A value's place in the graph: where its gradient goes.
final class GradientNode {
  /// The nodes of the inputs; nil for an input that no gradient runs through.
  let inputs: [GradientNode?]
  /// From the gradient of the output to the gradients of the inputs; asked only for those marked true.
  /// Nil for a leaf. Built from tensor operations, so that gradients can be differentiated again.
  fileprivate(set) var pullback: Pullback?
  let operation: String
  /// Computes the elements anew from what the operation keeps for its gradient anyway, where that costs less than keeping
  /// them for others': a pass over the memory.
  var recomputation: (() throws -> Buffer)?
  /// The part of the graph that it was recorded in; nil outside any.
  let segment = Autograd.currentSegment

  init(operation: String, inputs: [GradientNode?], pullback: Pullback?) {
    self.operation = operation
    self.inputs = inputs
    self.pullback = pullback
  }
}

/// Maps an output's gradient, whose memory it may take over, to the gradients of the inputs that `wanted` marks (others may
/// be nil).
typealias Pullback = (_ gradient: inout Tensor, _ wanted: [Bool]) throws -> [Tensor?]

/// Whether operations on tensors that require gradients record how to compute them.
public enum Autograd: Sendable {
  @TaskLocal static var isRecording = true
  @TaskLocal static var keptPrecision = KeptPrecision.single

  /// Runs `body` without recording: results carry no graph and hold on to no intermediate.
  public static func withoutRecording<R>(_ body: () throws -> R) rethrows -> R {
    try $isRecording.withValue(false) { try body() }
  }

  /// Runs `body` with activations kept for gradients in `precision`.
  public static func keeping<R>(_ precision: KeptPrecision, _ body: () throws -> R) rethrows -> R {
    try $keptPrecision.withValue(precision) { try body() }
  }
}

extension Tensor {
  /// Whether gradients with respect to this value, or through it, can be asked for.
  public var requiresGradient: Bool { node != nil }

  /// The same value as a leaf that gradients can be taken with respect to.
  public func requiringGradient() -> Tensor {
    var result = self
    result.node = GradientNode(operation: "leaf", inputs: [], pullback: nil)
    return result
  }

  /// The same value outside any graph: a constant.
  public func detached() -> Tensor {
    var result = self
    result.node = nil
    return result
  }

  /// This value, remembered as the result of an operation on `inputs`.
  func recorded(_ operation: String, _ inputs: [Tensor], pullback: @escaping Pullback) -> Tensor {
    recorded(operation, nodes: inputs.map(\.node), pullback: pullback)
  }

  func recorded(_ operation: String, nodes: [GradientNode?], pullback: @escaping Pullback) -> Tensor {
    guard Autograd.isRecording, nodes.contains(where: { $0 != nil }) else { return self }
    var result = self
    result.node = GradientNode(operation: operation, inputs: nodes, pullback: pullback)
    return result
  }

  /// Whether an operation on this value is being recorded for its gradient.
  var isTracked: Bool { Autograd.isRecording && node != nil }
}

/// The gradients of `output` with respect to each of `inputs`, by reverse accumulation.
///
/// - Parameters:
///   - output: of any shape.
///   - inputs: leaves made by `requiringGradient()`, or any value computed from such.
///   - seed: the gradient that comes in from above, of the output's shape; ones by default (so a scalar's own gradient).
///   - createGraph: record the gradients' own computation, so that they can be differentiated again. Otherwise the
///     graph is consumed: what the operations had kept is dropped as soon as it has been used.
/// - Returns: one tensor an input, of its shape; zeros where the output does not depend on it.
/// - Throws: `KernelsError.usage` when the output or an input is outside any graph, `KernelsError.shape` unless the seed has
///   the output's shape.
public func gradients(
  of output: Tensor, withRespectTo inputs: [Tensor], seed: Tensor? = nil, createGraph: Bool = false
) throws -> [Tensor] {
  guard let root = output.node else {
    throw KernelsError.usage("gradients: the output does not depend on any tensor that requires a gradient")
  }
  let targets = try inputs.map { input -> GradientNode in
    guard let node = input.node else { throw KernelsError.usage("gradients: an input does not require a gradient") }
    return node
  }
  if let seed {
    try output.requireSameDevice(as: seed, for: "gradients")
    guard seed.shape == output.shape else {
      throw KernelsError.shape(operation: "gradients", "the output is \(output.shape), its seed \(seed.shape)")
    }
  }

  let found = try gradients(
    of: root, to: targets, seed: seed ?? Tensor(repeating: 1, shape: output.shape, device: output.device),
    createGraph: createGraph)
  return try zip(inputs, found).map { input, gradient in
    try gradient ?? Tensor(repeating: 0, shape: input.shape, device: input.device)
  }
}

/// The gradients of those nodes that `wanted` marks, as pullbacks return them.
func gradients(
  of root: GradientNode?, to nodes: [GradientNode?], wanted: [Bool], seed: Tensor, createGraph: Bool,
  stoppingThere stops: Bool = false
) throws -> [Tensor?] {
  guard let root else { return nodes.map { _ in nil } }
  let asked = nodes.indices.filter { wanted[$0] }
  let found = try gradients(
    of: root, to: asked.map { nodes[$0]! }, seed: seed, createGraph: createGraph, stoppingThere: stops)
  return nodes.indices.map { index in asked.firstIndex(of: index).flatMap { found[$0] } }
}

/// The gradients of nodes; nil for those that the root does not depend on.
/// - Parameter stops: whether what lies behind the targets is left alone.
func gradients(
  of root: GradientNode, to targets: [GradientNode], seed: Tensor, createGraph: Bool, stoppingThere stops: Bool = false
) throws -> [Tensor?] {
  // Post-order over the graph by an explicit stack, marking the nodes on a path to a wanted input.
  let wanted = Set(targets.map { ObjectIdentifier($0) })
  func ends(_ node: GradientNode) -> Bool { stops && wanted.contains(ObjectIdentifier(node)) }
  var order: [GradientNode] = []
  var leads: [ObjectIdentifier: Bool] = [:]
  var stack: [(node: GradientNode, next: Int)] = [(root, 0)]
  leads[ObjectIdentifier(root)] = wanted.contains(ObjectIdentifier(root))
  while let (node, next) = stack.last {
    if next < node.inputs.count, !ends(node) {
      stack[stack.count - 1].next += 1
      if let input = node.inputs[next], leads[ObjectIdentifier(input)] == nil {
        leads[ObjectIdentifier(input)] = wanted.contains(ObjectIdentifier(input))
        stack.append((input, 0))
      }
    } else {
      stack.removeLast()
      if !ends(node), node.inputs.contains(where: { $0.map { leads[ObjectIdentifier($0)]! } ?? false }) {
        leads[ObjectIdentifier(node)] = true
      }
      order.append(node)
    }
  }

  var pending: [ObjectIdentifier: Tensor] = [:]
  pending[ObjectIdentifier(root)] = seed
  var results: [ObjectIdentifier: Tensor] = [:]
  try Autograd.$isRecording.withValue(createGraph) {
    while let node = order.popLast() {
      let id = ObjectIdentifier(node)
      guard var gradient = pending.removeValue(forKey: id) else { continue }
      if wanted.contains(id) { results[id] = gradient }
      guard !ends(node), let pullback = node.pullback else { continue }
      let asked = node.inputs.map { $0.map { leads[ObjectIdentifier($0)]! } ?? false }
      guard asked.contains(true) else { continue }
      let parts = try pullback(&gradient, asked)
      if !createGraph {
        node.pullback = consumed(node.operation)
        node.recomputation = nil
      }
      for (index, input) in node.inputs.enumerated() where asked[index] {
        guard let input, let part = parts[index] else { continue }
        let inputID = ObjectIdentifier(input)
        if let sum = pending[inputID] {
          pending[inputID] = try sum + part
        } else {
          pending[inputID] = part
        }
      }
    }
  }
  return targets.map { results[ObjectIdentifier($0)] }
}

/// What stands in for the pullback of an operation whose graph has been consumed.
private func consumed(_ operation: String) -> Pullback {
  { _, _ in
    throw KernelsError.usage(
      "gradients: the graph through \(operation) was consumed by an earlier call; pass createGraph: true to keep it")
  }
}
