extension Autograd {
  @TaskLocal static var recomputesSegments = false
  /// Whether a segment is being computed for the second time: what it tells others, it has told.
  @TaskLocal package static var isRecomputing = false
  /// The segment whose operations are being recorded.
  @TaskLocal static var currentSegment: GradientSegment?

  /// Runs `body` with the activations of segments dropped and, where `isOn`, computed a second time for their gradients: less
  /// memory for more time. Chen, Xu, Zhang, Guestrin (2016), "Training Deep Nets with Sublinear Memory Cost".
  public static func recomputing<R>(_ isOn: Bool = true, _ body: () throws -> R) rethrows -> R {
    try $recomputesSegments.withValue(isOn) { try body() }
  }

  /// A part of a network whose inner activations may be dropped: only what it takes is kept.
  /// - Parameter body: computes one tensor from others that are outside, the same each time. It may be called again later.
  public static func segment(_ body: @escaping () throws -> Tensor) throws -> Tensor {
    guard recomputesSegments, isRecording else { return try body() }
    let segment = GradientSegment()
    let output = try $currentSegment.withValue(segment) { try body() }
    guard let root = output.node, root.segment === segment else { return output }
    let inputs = segment.inputs(of: root)
    return output.detached().recorded("segment", nodes: inputs) { g, wanted in
      let again = try $isRecording.withValue(true) { try $isRecomputing.withValue(true) { try body() } }
      guard let node = again.node else {
        throw KernelsError.usage("a segment computed another function the second time")
      }
      return try gradients(
        of: node, to: inputs, wanted: wanted, seed: g, createGraph: isRecording, stoppingThere: true)
    }
  }
}

/// What the nodes of a part of the graph have in common.
final class GradientSegment: Sendable {
  /// The nodes outside that those inside, from `root` on, take.
  fileprivate func inputs(of root: GradientNode) -> [GradientNode] {
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
    var found: [GradientNode] = []
    var stack = [root]
    while let node = stack.popLast() {
      for case let input? in node.inputs where seen.insert(ObjectIdentifier(input)).inserted {
        if input.segment === self { stack.append(input) } else { found.append(input) }
      }
    }
    return found
  }
}
