import Kernels

/// S3FD (Zhang et al., ICCV 2017): VGG-16 with six sources, the first three L2-normalised, a head each. The first head has
/// three background logits, of which the largest counts (max-out), because small priors see so much background.
package final class S3FD: VGGDetector {
  package static let name = "s3fd"

  private let sources: VGGSources
  private let parameters: [String: Tensor]
  private static let norms = ["L2Norm3_3", "L2Norm4_3", "L2Norm5_3"]

  package convenience init(_ state: StateDictionary) throws { try self.init(source: ParameterSource(state)) }

  /// Fresh parameters, which find nothing: for tests.
  package convenience init(seed: UInt64, device: any Device) throws {
    try self.init(source: ParameterSource(seed: seed, device: device, .kaiming))
  }

  private init(source: ParameterSource) throws {
    var source = source
    sources = try VGGSources(&source, dilation: 6)
    for (norm, (channels, scale)) in zip(Self.norms, zip(VGGSources.channels, [10, 8, 5] as [Float])) {
      try source.constant("\(norm).weight", [channels], scale)
    }
    for (level, channels) in VGGSources.channels.enumerated() {
      let logits = level == 0 ? 4 : 2
      try source.layer("loc.\(level)", [4, channels, 3, 3], bias: 4)
      try source.layer("conf.\(level)", [logits, channels, 3, 3], bias: logits)
    }
    parameters = try source.finished()
  }

  package func heads(_ images: Tensor) throws -> DetectorHeads {
    try SingleShot.requireColours(images, Self.name, leastSide: VGGSources.leastSide)
    var levels = try sources(SingleShot.centred(images, Self.name))
    for (level, norm) in Self.norms.enumerated() {
      levels[level] = try levels[level].l2Normalized(scale: parameters["\(norm).weight"]!)
    }
    func maps(_ head: String) throws -> [Tensor] {
      try levels.enumerated().map { level, x in
        try x.convolved(
          with: parameters["\(head).\(level).weight"]!, bias: parameters["\(head).\(level).bias"]!, padding: 1)
      }
    }
    var logits = try maps("conf")
    let first = try (0..<4).map { try logits[0].sliced(axis: 1, $0..<$0 + 1) }
    logits[0] = try Tensor.concatenated([first[0].maximum(first[1]).maximum(first[2]), first[3]], axis: 1)
    return DetectorHeads(
      confidence: try SingleShot.joined(logits, values: 2), location: try SingleShot.joined(maps("loc"), values: 4),
      features: Array(levels.prefix(3)), maxOutPriors: levels[0].shape[2] * levels[0].shape[3])
  }
}

@available(*, unavailable)
extension S3FD: Sendable {}
