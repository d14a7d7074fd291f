import Foundation
import Kernels

/// One of HiSD's tags: a question about a face, and the answers that exclude each other.
package struct StyleTag: Equatable, Sendable {
  package let name: String
  /// The answers. For a single label: without it, with it.
  package let attributes: [String]
  /// The labels that answer it: one yes or no, or one an answer.
  package let labels: [String]

  /// Tags separated by semicolons, each a label, or several exclusive ones separated by commas:
  /// `Male;Child,Young,Middle,Senior`.
  package static func parse(_ text: String) -> [StyleTag] {
    text.split(separator: ";").map { part in
      let labels = part.split(separator: ",").map(String.init)
      return labels.count == 1
        ? StyleTag(name: labels[0], attributes: ["no \(labels[0])", labels[0]], labels: labels)
        : StyleTag(name: labels.joined(separator: "/"), attributes: labels, labels: labels)
    }
  }

  package static func text(_ tags: [StyleTag]) -> String {
    tags.map { $0.labels.joined(separator: ",") }.joined(separator: ";")
  }
}

/// HiSD (Li et al., CVPR 2021): an encoder, for each tag a translator that puts a style into the code by adaptive instance
/// norm under a mask, and a decoder. Styles are extracted from reference images, or mapped from noise for an attribute.
/// Its norms divide by the unbiased deviation plus epsilon. Parameters carry the official names.
package struct HiSDGenerator: Generator {
  package static let name = "hisd"
  /// The averaged weights first.
  package static let checkpointKeys = ["gen_test", "gen"]

  /// Channels and extents of all parts; the defaults are the authors' for 256x256.
  package struct Configuration: Equatable, Sendable {
    package var encoder = [64, 128, 256]
    package var translator = [Int](repeating: 64, count: 8)
    package var extractor = [32, 64, 128, 256, 512, 512, 512]
    package var mapper = [256, 256, 256]
    package var styleCount = 256
    package var noiseCount = 32

    package init() {}

    /// A smaller one: an encoder of `width` channels halved twice, and `blocks` translator blocks.
    package init(width: Int, blocks: Int, criticWidth: Int, criticLayers: Int, styleCount: Int) {
      encoder = [width, 2 * width, 4 * width]
      translator = [Int](repeating: width, count: blocks + 1)
      extractor = (0...criticLayers).map { criticWidth << min($0, 4) }
      mapper = [Int](repeating: styleCount, count: 3)
      self.styleCount = styleCount
    }
  }

  package let tags: [StyleTag]
  package let imageSize: Int
  package var parameters: [String: Tensor]
  package let configuration: Configuration

  package var attributes: [String] { tags.flatMap(\.labels) }
  package var edits: [String] { tags.flatMap(\.attributes) }

  package var metadata: [String: String] {
    ["kind": Self.name, "tags": StyleTag.text(tags), "image_size": "\(imageSize)"]
  }

  private static var activation: Activation { .leakyReLU(0.2) }

  /// Fresh parameters.
  package init(
    _ configuration: Configuration, tags: [StyleTag], imageSize: Int, seed: UInt64, device: any Device
  ) throws {
    try self.init(
      ParameterSource(seed: seed, device: device, .kaiming), configuration, tags: tags, imageSize: imageSize)
  }

  package init(_ state: StateDictionary, _ description: GeneratorDescription) throws {
    /// The channels along a sequence: of its first layer's output, then of every block's.
    func channels(_ first: String, _ block: (Int) -> String) throws -> [Int] {
      var all = [try state.require(first, [nil, nil, 1, 1]).shape[0]]
      while let weight = state.tensors[block(all.count)] { all.append(weight.shape[0]) }
      return all
    }
    func count(_ name: (Int) -> String) -> Int { (0..<1000).prefix { state.tensors[name($0)] != nil }.count }
    var configuration = Configuration()
    configuration.encoder = try channels("encoder.0.weight") { "encoder.\($0).conv2.weight" }
    configuration.translator = try channels("translators.0.model.0.weight") { "translators.0.model.\($0).conv2.weight" }
    configuration.extractor = try channels("extractors.model.0.weight") { "extractors.model.\($0).conv2.weight" }
    let noise = try state.require("mappers.0.pre_model.0.weight", [nil, nil])
    configuration.noiseCount = noise.shape[1]
    configuration.mapper = [noise.shape[0]]
    while let weight = state.tensors["mappers.0.pre_model.\(configuration.mapper.count).linear.weight"] {
      configuration.mapper.append(weight.shape[0])
    }
    let tagCount = count { "translators.\($0).model.0.weight" }
    let style = try state.require("translators.0.style_to_params.weight", [nil, nil])
    configuration.styleCount = style.shape[1]
    let known = description.tags.map(StyleTag.parse)
    let tags = (0..<tagCount).map { tag in
      let answers = count { "mappers.\(tag).post_models.\($0).0.linear.weight" }
      let names = (0..<answers).map { "tag \(tag) attribute \($0)" }
      return known.flatMap { $0.indices.contains(tag) ? $0[tag] : nil }
        ?? StyleTag(name: "tag \(tag)", attributes: names, labels: names)
    }
    guard known.map({ $0.count == tagCount }) ?? true else {
      throw FileError(state.origin, "has \(tagCount) tags, \(known!.count) are named")
    }
    guard tags.allSatisfy({ !$0.attributes.isEmpty }) else {
      throw FileError(state.origin, "has a tag without attributes")
    }
    try self.init(
      ParameterSource(state), configuration, tags: tags, imageSize: description.imageSize ?? 256)
  }

  private init(_ source: ParameterSource, _ configuration: Configuration, tags: [StyleTag], imageSize: Int) throws {
    (self.configuration, self.tags, self.imageSize) = (configuration, tags, imageSize)
    var source = source
    let c = configuration
    func block(_ name: String, _ from: Int, _ to: Int, middle: Int) throws {
      try source.layer("\(name).conv1", [middle, from, 3, 3], bias: middle)
      try source.layer("\(name).conv2", [to, middle, 3, 3], bias: to)
      try source.layer("\(name).sc", [to, from, 1, 1], rectified: false)
    }
    try source.layer("encoder.0", [c.encoder[0], 3, 1, 1], bias: c.encoder[0], rectified: false)
    for (i, (from, to)) in zip(c.encoder, c.encoder.dropFirst()).enumerated() {
      try block("encoder.\(i + 1)", from, to, middle: from)
      for norm in ["in1", "in2"] { try source.norm("encoder.\(i + 1).\(norm)", [1, from, 1]) }
    }
    let decoder = Array(c.encoder.reversed())
    for (i, (from, to)) in zip(decoder, decoder.dropFirst()).enumerated() {
      try block("decoder.\(i)", from, to, middle: to)
      try source.norm("decoder.\(i).in1", [1, from, 1])
      try source.norm("decoder.\(i).in2", [1, to, 1])
    }
    try source.layer("decoder.\(decoder.count - 1)", [3, decoder.last!, 1, 1], bias: 3, rectified: false)
    try source.layer("extractors.model.0", [c.extractor[0], 3, 1, 1], bias: c.extractor[0], rectified: false)
    for (i, (from, to)) in zip(c.extractor, c.extractor.dropFirst()).enumerated() {
      try block("extractors.model.\(i + 1)", from, to, middle: from)
    }
    let styles = c.styleCount * tags.count
    try source.layer(
      "extractors.model.\(c.extractor.count + 1)", [styles, c.extractor.last!, 1, 1], bias: styles, rectified: false)
    for tag in tags.indices {
      let name = "translators.\(tag)"
      try source.layer(
        "\(name).model.0", [c.translator[0], c.encoder.last!, 1, 1], bias: c.translator[0], rectified: false)
      for (i, (from, to)) in zip(c.translator, c.translator.dropFirst()).enumerated() {
        try block("\(name).model.\(i + 1)", from, to, middle: to)
      }
      let values = 2 * zip(c.translator, c.translator.dropFirst()).reduce(0) { $0 + $1.0 + $1.1 }
      try source.layer("\(name).style_to_params", [values, c.styleCount], bias: values, rectified: false)
      for part in ["features", "masks"] {
        try source.layer(
          "\(name).\(part).0", [decoder[0], c.translator.last!, 1, 1], bias: decoder[0], rectified: false)
      }
    }
    for (tag, answers) in tags.map(\.attributes.count).enumerated() {
      let name = "mappers.\(tag)"
      try source.layer("\(name).pre_model.0", [c.mapper[0], c.noiseCount], bias: c.mapper[0], rectified: false)
      for (i, (from, to)) in zip(c.mapper, c.mapper.dropFirst()).enumerated() {
        try source.layer("\(name).pre_model.\(i + 1).linear", [to, from], bias: to)
        for answer in 0..<answers {
          try source.layer("\(name).post_models.\(answer).\(i).linear", [to, from], bias: to)
        }
      }
      for answer in 0..<answers {
        let last = "\(name).post_models.\(answer).\(c.mapper.count - 1)"
        try source.layer(last, [c.styleCount, c.mapper.last!], bias: c.styleCount)
      }
    }
    parameters = try source.finished()
  }

  /// The same with tensors of its own.
  package func copy() throws -> HiSDGenerator {
    var copy = self
    copy.parameters = try parameters.mapValues { try $0.copy() }
    return copy
  }

  // MARK: Asking for an edit

  /// The tag and the answer of an edit.
  private func place(_ edit: Int) -> (tag: Int, answer: Int) {
    var rest = edit
    for (tag, answers) in tags.map(\.attributes.count).enumerated() {
      if rest < answers { return (tag, rest) }
      rest -= answers
    }
    preconditionFailure("edit \(edit) of \(edits.count)")
  }

  package func asked(_ edit: Int, labels: [Float]) -> (attribute: String, value: Float) {
    let (tag, answer) = place(edit)
    let known = tags[tag].labels
    return known.count == 1 ? (known[0], Float(answer)) : (known[answer], 1)
  }

  /// Styles mapped from noise.
  package func condition(_ edits: [Int], labels: [[Float]], random: inout RandomStream, device: any Device) throws
    -> Condition
  {
    let places = edits.map(place)
    let styles = try places.map { tag, answer in
      try style(ofNoise: random.normal([1, configuration.noiseCount], device: device), tag: tag, answer: answer)
    }
    return Condition(try Tensor.concatenated(styles, axis: 0), tags: places.map(\.tag))
  }

  /// The style of `reference`, images [N, 3, H, W], for a tag.
  package func condition(from input: (String) throws -> Tensor, tag: Int) throws -> Condition {
    guard tags.indices.contains(tag) else {
      throw KernelsError.usage("--tag must be below \(tags.count): that is how many tags the generator has")
    }
    let reference = try input("reference")
    return Condition(
      try style(ofImages: reference, tag: tag), tags: [Int](repeating: tag, count: reference.shape[0]))
  }

  /// The style of images for a tag, [N, style].
  package func style(ofImages images: Tensor, tag: Int) throws -> Tensor {
    let x = try extractorTrunk(images, "extractors.model", layers: configuration.extractor.count - 1)
    let all = try convolve(x, "extractors.model.\(configuration.extractor.count + 1)")
      .reshaped([images.shape[0], tags.count, configuration.styleCount])
    return try all.sliced(axis: 1, tag..<tag + 1).reshaped([images.shape[0], configuration.styleCount])
  }

  /// The style that noise [N, noise] stands for as an answer to a tag, [N, style].
  package func style(ofNoise noise: Tensor, tag: Int, answer: Int) throws -> Tensor {
    func linear(_ x: Tensor, _ name: String) throws -> Tensor {
      try x.linear(weight: parameters["\(name).weight"]!, bias: parameters["\(name).bias"]!)
    }
    let name = "mappers.\(tag)"
    let deeper = configuration.mapper.count - 1
    var x = try linear(noise, "\(name).pre_model.0")
    for i in 0..<deeper { x = try linear(x.relu(), "\(name).pre_model.\(i + 1).linear") }
    for i in 0..<deeper { x = try linear(x.relu(), "\(name).post_models.\(answer).\(i).linear") }
    return try linear(x, "\(name).post_models.\(answer).\(deeper)")
  }

  // MARK: Running it

  package func callAsFunction(_ images: Tensor, condition: Condition) throws -> GeneratorOutput {
    try require(condition, configuration.styleCount, for: images)
    guard condition.tags.count == images.shape[0] else {
      throw KernelsError.shape(
        operation: Self.name, "\(condition.tags.count) tags do not fit \(images.shape[0]) images")
    }
    let code = try encode(images)
    // Images of the same tag go through its translator together.
    var parts: [Tensor] = []
    var first = 0
    while first < condition.tags.count {
      let tag = condition.tags[first]
      let end = condition.tags[first...].firstIndex { $0 != tag } ?? condition.tags.count
      parts.append(try translate(code.slice(first..<end), style: condition.values.slice(first..<end), tag: tag))
      first = end
    }
    let translated = try parts.count == 1 ? parts[0] : Tensor.concatenated(parts, axis: 0)
    return GeneratorOutput(image: try decode(translated), feature: code)
  }

  package func encode(_ images: Tensor) throws -> Tensor {
    let halvings = configuration.encoder.count - 1
    try require(images, sidesOfMultiple: 1 << halvings)
    var x = try convolve(images, "encoder.0")
    for i in 1...halvings {
      let name = "encoder.\(i)"
      x = try Autograd.segment { [x] in
        let inner = try convolve(normalized(x, "\(name).in1"), "\(name).conv1", padding: 1).averagePooled(size: 2)
        let outer = try convolve(normalized(inner, "\(name).in2"), "\(name).conv2", padding: 1)
        return try joined(convolve(x, "\(name).sc").averagePooled(size: 2), outer)
      }
    }
    return x
  }

  package func decode(_ code: Tensor) throws -> Tensor {
    let doublings = configuration.encoder.count - 1
    var x = code
    for i in 0..<doublings {
      let name = "decoder.\(i)"
      x = try Autograd.segment { [x] in
        let inner = try convolve(doubled(normalized(x, "\(name).in1")), "\(name).conv1", padding: 1)
        let outer = try convolve(normalized(inner, "\(name).in2"), "\(name).conv2", padding: 1)
        return try joined(doubled(convolve(x, "\(name).sc")), outer)
      }
    }
    return try convolve(x, "decoder.\(doublings)")
  }

  /// The code with a tag's style [N, style] put in where the translator's mask says.
  package func translate(_ code: Tensor, style: Tensor, tag: Int) throws -> Tensor {
    let name = "translators.\(tag)"
    let values = try style.linear(
      weight: parameters["\(name).style_to_params.weight"]!, bias: parameters["\(name).style_to_params.bias"]!)
    var taken = 0
    func next(_ count: Int) throws -> Tensor {
      defer { taken += count }
      return try values.sliced(axis: 1, taken..<taken + count)
    }
    /// Shift, then scale less one, are the style's.
    func adaptive(_ channels: Int) throws -> (shift: Tensor, scale: Tensor) {
      (try next(channels), try next(channels) + 1)
    }
    func adapted(_ x: Tensor, _ style: (shift: Tensor, scale: Tensor)) throws -> Tensor {
      try x.instanceNormalized(gamma: style.scale, beta: style.shift, activation: Self.activation, isUnbiased: true)
    }
    var x = try convolve(code, "\(name).model.0")
    for i in 1..<configuration.translator.count {
      let block = "\(name).model.\(i)"
      let styles = (try adaptive(x.shape[1]), try adaptive(parameters["\(block).conv1.weight"]!.shape[0]))
      x = try Autograd.segment { [x] in
        let inner = try convolve(adapted(x, styles.0), "\(block).conv1", padding: 1)
        return try joined(convolve(x, "\(block).sc"), convolve(adapted(inner, styles.1), "\(block).conv2", padding: 1))
      }
    }
    let mask = try convolve(x, "\(name).masks.0").sigmoid()
    return try code + mask * (convolve(x, "\(name).features.0") - code)
  }

  private func convolve(_ x: Tensor, _ name: String, padding: Int = 0) throws -> Tensor {
    try x.convolved(with: parameters["\(name).weight"]!, bias: parameters["\(name).bias"], padding: padding)
  }

  private func normalized(_ x: Tensor, _ name: String) throws -> Tensor {
    let channels = [x.shape[1]]
    return try x.instanceNormalized(
      gamma: parameters["\(name).weight"]!.reshaped(channels), beta: parameters["\(name).bias"]!.reshaped(channels),
      activation: Self.activation, isUnbiased: true)
  }

  private func doubled(_ x: Tensor) throws -> Tensor {
    try x.resized(height: 2 * x.shape[2], width: 2 * x.shape[3], mode: .nearest)
  }
}

@available(*, unavailable)
extension HiSDGenerator: Sendable {}

/// Two branches of a residual block, at the magnitude of one.
private func joined(_ a: Tensor, _ b: Tensor) throws -> Tensor { try (a + b) * Float(0.5).squareRoot() }

extension Network {
  /// The trunk that HiSD's extractor and discriminator share: 1x1, then `layers` residual blocks that halve, without norms,
  /// and the mean over the pixels: [N, channels, 1, 1].
  func extractorTrunk(_ images: Tensor, _ name: String, layers: Int) throws -> Tensor {
    func convolve(_ x: Tensor, _ name: String, padding: Int = 0) throws -> Tensor {
      try x.convolved(with: parameters["\(name).weight"]!, bias: parameters["\(name).bias"], padding: padding)
    }
    var x = try convolve(images, "\(name).0")
    for i in 1...layers {
      x = try Autograd.segment { [x] in
        let inner = try convolve(x.leakyReLU(slope: 0.2), "\(name).\(i).conv1", padding: 1).averagePooled(size: 2)
        let outer = try convolve(inner.leakyReLU(slope: 0.2), "\(name).\(i).conv2", padding: 1)
        return try joined(convolve(x, "\(name).\(i).sc").averagePooled(size: 2), outer)
      }
    }
    return try x.mean(axes: [2, 3], keepingAxes: true)
  }
}
