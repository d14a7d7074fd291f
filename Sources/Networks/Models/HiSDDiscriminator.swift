import Kernels

/// HiSD's discriminator: a trunk of residual blocks, and for each tag a layer that scores an image, its style and its other
/// attributes: for each answer to the tag whether it is a translation, and whether it is a cycle's end. It may also name an
/// image's attributes, which the authors' does not.
package struct HiSDDiscriminator: Network {
  package var parameters: [String: Tensor]
  /// Residual blocks.
  package let layers: Int

  /// Fresh parameters.
  /// - Parameters:
  ///   - channels: of the trunk.
  ///   - answers: to each tag.
  ///   - others: for each tag, the attributes besides it that the score may depend on.
  ///   - attributeCount: how many attributes it names; 0 as the authors have it.
  package init(
    channels: [Int], styleCount: Int, answers: [Int], others: [Int], attributeCount: Int = 0, seed: UInt64,
    device: any Device
  ) throws {
    layers = channels.count - 1
    var source = ParameterSource(seed: seed, device: device, .kaiming)
    try source.layer("conv.0", [channels[0], 3, 1, 1], bias: channels[0], rectified: false)
    for (i, (from, to)) in zip(channels, channels.dropFirst()).enumerated() {
      try source.layer("conv.\(i + 1).conv1", [from, from, 3, 3], bias: from)
      try source.layer("conv.\(i + 1).conv2", [to, from, 3, 3], bias: to)
      try source.layer("conv.\(i + 1).sc", [to, from, 1, 1], rectified: false)
    }
    for tag in answers.indices {
      let outputs = 2 * answers[tag]
      try source.layer(
        "fcs.\(tag).0", [outputs, channels.last! + styleCount + others[tag], 1, 1], bias: outputs, rectified: false)
    }
    if attributeCount > 0 {
      try source.layer("attributes", [attributeCount, channels.last!, 1, 1], bias: attributeCount, rectified: false)
    }
    parameters = try source.finished()
  }

  /// Parameters from a checkpoint under official names.
  package init(_ state: StateDictionary) throws {
    layers = (1..<100).prefix { state.tensors["conv.\($0).conv2.weight"] != nil }.count
    parameters = state.tensors
    for name in ["conv.0.weight", "fcs.0.0.weight"] { _ = try state.require(name, [nil, nil, 1, 1]) }
  }

  /// Channels of the first layer.
  package var width: Int { parameters["conv.0.weight"]!.shape[0] }

  /// Whether it names attributes too.
  package var judgesAttributes: Bool { parameters["attributes.weight"] != nil }

  /// Refuses another count of attributes besides a tag than its scores depend on.
  package func require(others count: Int, tag: Int, styleCount: Int) throws {
    let head = "fcs.\(tag).0.weight"
    guard let weight = parameters[head], let trunk = parameters["conv.\(layers).conv2.weight"] else {
      throw KernelsError.usage("HiSD's discriminator has no \(head): it knows fewer tags")
    }
    let known = weight.shape[1] - trunk.shape[0] - styleCount
    guard known == count else {
      throw KernelsError.usage(
        "HiSD's discriminator knows \(known) attributes besides tag \(tag), the faces are labelled with \(count)")
    }
  }

  /// What all heads judge images by, [N, channels, 1, 1].
  package func trunk(_ images: Tensor) throws -> Tensor { try extractorTrunk(images, "conv", layers: layers) }

  /// The scores [N, 2] of images, their styles [N, style] and other attributes [N, others] for an answer to a tag: of a
  /// translation, and of a cycle.
  package func callAsFunction(_ images: Tensor, style: Tensor, others: Tensor, tag: Int, answer: Int) throws -> Tensor {
    try scores(trunk(images), style: style, others: others, tag: tag, answer: answer)
  }

  /// The same of a trunk's output.
  package func scores(_ trunk: Tensor, style: Tensor, others: Tensor, tag: Int, answer: Int) throws -> Tensor {
    let count = trunk.shape[0]
    func pixels(_ x: Tensor) throws -> Tensor { try x.reshaped([count, x.shape[1], 1, 1]) }
    let scores = try Tensor.concatenated([trunk, pixels(style), pixels(others)], axis: 1)
      .convolved(with: parameters["fcs.\(tag).0.weight"]!, bias: parameters["fcs.\(tag).0.bias"]!)
    return try scores.reshaped([count, 2, scores.shape[1] / 2]).sliced(axis: 2, answer..<answer + 1).reshaped([
      count, 2,
    ])
  }

  /// The logits [N, attributes] of the attributes that a trunk's output shows.
  package func attributeLogits(_ trunk: Tensor) throws -> Tensor {
    let logits = try trunk.convolved(with: parameters["attributes.weight"]!, bias: parameters["attributes.bias"]!)
    return try logits.reshaped([trunk.shape[0], logits.shape[1]])
  }
}

@available(*, unavailable)
extension HiSDDiscriminator: Sendable {}
