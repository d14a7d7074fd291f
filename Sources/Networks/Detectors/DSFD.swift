import Kernels

/// DSFD (Li et al., CVPR 2019): S3FD's sources, each enhanced by the next coarser one (multiplied in from the top down) and by
/// dilated branches, and a second shot of heads on the result. The first shot only serves training; its features are what
/// poisoning works on.
package final class DSFD: VGGDetector {
  package static let name = "dsfd"

  private let sources: VGGSources
  private let parameters: [String: Tensor]

  package convenience init(_ state: StateDictionary) throws {
    // The first shot's heads are in the files, and of no use here.
    let used = state.tensors.filter { !$0.key.hasPrefix("loc_pal1.") && !$0.key.hasPrefix("conf_pal1.") }
    try self.init(source: ParameterSource(StateDictionary(used, origin: state.origin)))
  }

  /// Fresh parameters, which find nothing: for tests.
  package convenience init(seed: UInt64, device: any Device) throws {
    try self.init(source: ParameterSource(seed: seed, device: device, .kaiming))
  }

  private init(source: ParameterSource) throws {
    var source = source
    sources = try VGGSources(&source, dilation: 3)
    let channels = VGGSources.channels
    for (level, scale) in ([10, 8, 5] as [Float]).enumerated() {
      for kind in ["of", "ef"] { try source.constant("L2Norm\(kind)\(level + 1).weight", [channels[level]], scale) }
    }
    func plain(_ name: String, _ from: Int, _ to: Int, side: Int) throws {
      try source.layer(name, [to, from, side, side], bias: to)
    }
    let top = Array(channels.reversed())
    try plain("fpn_topdown.0", top[0], top[0], side: 1)
    for (i, (from, to)) in zip(top, top.dropFirst()).enumerated() {
      try plain("fpn_topdown.\(i + 1)", from, to, side: 1)
      try plain("fpn_latlayer.\(i)", to, to, side: 1)
    }
    for (level, count) in channels.enumerated() {
      let name = "fpn_fem.\(level)"
      let third = count / 3
      let rest = count - 2 * third
      try plain("\(name).branch1", count, third, side: 3)
      try plain("\(name).branch2.0", count, third, side: 3)
      try plain("\(name).branch2.2", third, third, side: 3)
      try plain("\(name).branch3.0", count, rest, side: 3)
      try plain("\(name).branch3.2", rest, rest, side: 3)
      try plain("\(name).branch3.4", rest, rest, side: 3)
      try plain("loc_pal2.\(level)", count, 4, side: 3)
      try plain("conf_pal2.\(level)", count, 2, side: 3)
    }
    parameters = try source.finished()
  }

  package func heads(_ images: Tensor) throws -> DetectorHeads {
    try SingleShot.requireColours(images, Self.name, leastSide: VGGSources.leastSide)
    let first = try sources(SingleShot.centred(images, Self.name))
    func convolve(_ x: Tensor, _ name: String, padding: Int = 0, dilation: Int = 1, activation: Activation = .identity)
      throws -> Tensor
    {
      try x.convolved(
        with: parameters["\(name).weight"]!, bias: parameters["\(name).bias"]!, padding: padding, dilation: dilation,
        activation: activation)
    }
    // From the coarsest down: what lies above, enlarged, times the level itself.
    var merged = [try convolve(first[5], "fpn_topdown.0", activation: .relu)]
    for i in 0..<5 {
      let level = first[4 - i]
      let above = try convolve(merged[i], "fpn_topdown.\(i + 1)", activation: .relu)
        .resized(height: level.shape[2], width: level.shape[3], mode: .bilinearAlignedCorners)
      merged.append(try (above * convolve(level, "fpn_latlayer.\(i)")).relu())
    }
    func enhanced(_ x: Tensor, _ name: String) throws -> Tensor {
      func branch(_ name: String, _ layers: [String]) throws -> Tensor {
        var y = x
        for layer in layers {
          y = try convolve(y, "\(name)\(layer)", padding: 3, dilation: 3, activation: .relu)
        }
        return y
      }
      return try Tensor.concatenated(
        [
          branch("\(name).branch1", [""]), branch("\(name).branch2", [".0", ".2"]),
          branch("\(name).branch3", [".0", ".2", ".4"]),
        ], axis: 1)
    }
    func normalized(_ x: Tensor, _ kind: String, _ level: Int) throws -> Tensor {
      level < 3 ? try x.l2Normalized(scale: parameters["L2Norm\(kind)\(level + 1).weight"]!) : x
    }
    let second = try merged.reversed().enumerated().map { level, x in
      try normalized(enhanced(x, "fpn_fem.\(level)"), "ef", level)
    }
    func maps(_ head: String) throws -> [Tensor] {
      try second.enumerated().map { level, x in try convolve(x, "\(head).\(level)", padding: 1) }
    }
    return DetectorHeads(
      confidence: try SingleShot.joined(maps("conf_pal2"), values: 2),
      location: try SingleShot.joined(maps("loc_pal2"), values: 4),
      features: try (0..<3).map { try normalized(first[$0], "of", $0) })
  }
}

@available(*, unavailable)
extension DSFD: Sendable {}
