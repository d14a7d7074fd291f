import Kernels

/// AttGAN's generator (He, Zuo, Kan, Shan, Chen, IEEE TIP 2019): strided 4x4 convolutions down, as many transposed ones up,
/// batch norm between. The attributes join the code as constant planes, and some decoder layers are joined by the
/// encoder's output of the same size, and by the attributes again. Parameters carry the official names.
package struct AttGANGenerator: Generator {
  package static let name = "attgan"
  package static let checkpointKeys = ["G"]

  package let attributes: [String]
  package let imageSize: Int
  package var parameters: [String: Tensor] { didSet { folded = [:] } }

  /// Statistics of the batch that training normalises with, by norm. Nil: stored statistics, as in use.
  package var training: BatchStatistics?

  /// Channels of the first layer.
  package let width: Int
  /// Of the encoder, and of the decoder.
  package let layers: Int
  private let injections: Int
  private let shortcuts: Int
  /// Weights with the norms' stored statistics and scales multiplied in, and the biases that remain.
  private var folded: [String: (weight: Tensor, bias: Tensor)] = [:]

  private static var encoderActivation: Activation { .leakyReLU(0.01) }
  private static let epsilon: Float = 1e-5
  private static let widest = 1024

  /// The channels after each encoder layer.
  private static func widths(_ width: Int, _ layers: Int) -> [Int] {
    (0..<layers).map { min(width << $0, widest) }
  }

  /// Fresh parameters; one shortcut and one repeated injection, as in the authors' training.
  /// - Throws: `KernelsError.shape` unless the image size is a multiple of 2^layers.
  package init(
    width: Int = 64, layers: Int = 5, attributes: [String], imageSize: Int, seed: UInt64, device: any Device
  ) throws {
    try requireHalvings(layers, of: imageSize, "AttGAN")
    try self.init(
      ParameterSource(seed: seed, device: device), width: width, layers: layers, shortcuts: min(1, layers - 1),
      injections: min(1, layers - 1), attributes: attributes, imageSize: imageSize)
  }

  package init(_ state: StateDictionary, _ description: GeneratorDescription) throws {
    func input(_ layer: Int) throws -> Tensor {
      try state.require("dec_layers.\(layer).layers.0.weight", [nil, nil, 4, 4])
    }
    let first = try state.require("enc_layers.0.layers.0.weight", [nil, 3, 4, 4])
    let layers = (0..<20).prefix { state.tensors["enc_layers.\($0).layers.0.weight"] != nil }.count
    let widths = Self.widths(first.shape[0], layers)
    let count = try input(0).shape[0] - widths.last!
    // A decoder layer takes what the one before gave, and what was joined to that.
    var (shortcuts, injections) = (0, 0)
    for layer in 1..<max(1, layers) {
      let joined = try input(layer).shape[0] - input(layer - 1).shape[1]
      let shortcut = widths[layers - 1 - layer]
      if joined == shortcut || joined == shortcut + count { shortcuts = layer }
      if joined == count || joined == shortcut + count { injections = layer }
    }
    try self.init(
      ParameterSource(state), width: first.shape[0], layers: layers, shortcuts: shortcuts, injections: injections,
      attributes: description.attributes(count, state.origin), imageSize: description.imageSize ?? 128)
  }

  private init(
    _ source: ParameterSource, width: Int, layers: Int, shortcuts: Int, injections: Int, attributes: [String],
    imageSize: Int
  ) throws {
    (self.attributes, self.imageSize, self.width, self.layers) = (attributes, imageSize, width, layers)
    (self.shortcuts, self.injections) = (shortcuts, injections)
    var source = source
    let widths = Self.widths(width, layers)
    var channels = 3
    for (layer, next) in widths.enumerated() {
      try source.layer("enc_layers.\(layer).layers.0", [next, channels, 4, 4])
      try Self.batchNorm(&source, "enc_layers.\(layer).layers.1", next)
      channels = next
    }
    channels += attributes.count
    for layer in 0..<layers {
      let name = "dec_layers.\(layer).layers"
      if layer == layers - 1 {
        try source.layer("\(name).0", [channels, 3, 4, 4], bias: 3)
        break
      }
      let next = min(width << (layers - 1 - layer), Self.widest)
      try source.layer("\(name).0", [channels, next, 4, 4])
      try Self.batchNorm(&source, "\(name).1", next)
      channels = next
      if layer < shortcuts { channels += widths[layers - 2 - layer] }
      if layer < injections { channels += attributes.count }
    }
    parameters = try source.finished()
  }

  /// Multiplies the norms' stored statistics and scales into the weights: what remains of a norm is its bias.
  package mutating func foldNorms() throws {
    var made: [String: (weight: Tensor, bias: Tensor)] = [:]
    for name in parameters.keys where name.hasSuffix(".layers.1.weight") {
      let block = String(name.dropLast(".1.weight".count))
      let (weight, bias) = try Self.fold(parameters, block, outputAxis: block.hasPrefix("enc") ? 0 : 1)
      made[block] = (weight, bias)
      // One weight after another: both of all would be twice the memory.
      parameters["\(block).0.weight"] = weight
      parameters["\(block).1.bias"] = bias
      for (part, value) in [("weight", 1), ("running_mean", 0), ("running_var", 1 - Self.epsilon)] {
        parameters["\(block).1.\(part)"] = try Tensor(repeating: value, shape: bias.shape, device: bias.device)
      }
    }
    folded = made
  }

  private static func batchNorm(_ source: inout ParameterSource, _ name: String, _ channels: Int) throws {
    try source.norm(name, [channels])
    try source.runningStatistics(name, channels, required: true)
  }

  private static func fold(_ parameters: [String: Tensor], _ block: String, outputAxis: Int) throws -> (Tensor, Tensor)
  {
    func part(_ name: String) -> Tensor { parameters["\(block).1.\(name)"]! }
    let weight = parameters["\(block).0.weight"]!
    let scale = try part("weight") / (part("running_var") + epsilon).sqrt()
    var shape = [1, 1, 1, 1]
    shape[outputAxis] = scale.count
    return (try weight * scale.reshaped(shape), try part("bias") - part("running_mean") * scale)
  }

  // MARK: Running it

  /// An attribute vector of 0 and 1 as the network takes it: -0.5 and 0.5; the attribute that changes twice that.
  static func centred(_ vector: [Float], changed: Int? = nil) -> [Float] {
    vector.enumerated().map { ($1 * 2 - 1) * ($0 == changed ? 1 : 0.5) }
  }

  package func condition(_ edits: [Int], labels: [[Float]], random: inout RandomStream, device: any Device) throws
    -> Condition
  {
    let rows = zip(attributeVectors(edits, labels), edits).map { Self.centred($0, changed: $1) }
    return Condition(try Tensor(rows.flatMap { $0 }, shape: [rows.count, attributes.count], device: device))
  }

  package func callAsFunction(_ images: Tensor, condition: Condition) throws -> GeneratorOutput {
    try require(condition, attributes.count, for: images)
    let codes = try encode(images)
    return GeneratorOutput(image: try decode(codes, condition.values), feature: codes.last!)
  }

  /// The outputs of the last encoder layers: those that the decoder takes.
  package func encode(_ images: Tensor) throws -> [Tensor] {
    try require(images, sidesOfMultiple: 1 << layers)
    func encoded(_ x: Tensor, _ layer: Int) throws -> Tensor {
      try block("enc_layers.\(layer).layers", activation: Self.encoderActivation) { weight, bias in
        try x.convolved(
          with: weight, bias: bias, stride: 2, padding: 1, activation: bias == nil ? .identity : Self.encoderActivation)
      }
    }
    // The decoder takes the last codes alone.
    let first = layers - 1 - shortcuts
    var codes = [try Autograd.segment { try (0...first).reduce(images) { try encoded($0, $1) } }]
    for layer in first + 1..<layers {
      codes.append(try Autograd.segment { [x = codes.last!] in try encoded(x, layer) })
    }
    return codes
  }

  /// The image of a code and attributes [N, attributes].
  package func decode(_ codes: [Tensor], _ values: Tensor) throws -> Tensor {
    try Autograd.segment { try decoded(codes, values) }
  }

  private func decoded(_ codes: [Tensor], _ values: Tensor) throws -> Tensor {
    func planes(like x: Tensor) throws -> Tensor {
      try values.reshaped(values.shape + [1, 1]).broadcast(to: values.shape + x.shape.suffix(2))
    }
    var x = try Tensor.concatenated([codes.last!, planes(like: codes.last!)], axis: 1)
    for layer in 0..<layers - 1 {
      x = try block("dec_layers.\(layer).layers", activation: .relu) { weight, bias in
        let y = try x.transposeConvolved(with: weight, bias: bias, stride: 2, padding: 1)
        return bias == nil ? y : try y.relu()
      }
      var joined = [x]
      if layer < shortcuts { joined.append(codes[codes.count - 2 - layer]) }
      if layer < injections { joined.append(try planes(like: x)) }
      if joined.count > 1 { x = try Tensor.concatenated(joined, axis: 1) }
    }
    let last = "dec_layers.\(layers - 1).layers.0"
    return try x.transposeConvolved(
      with: parameters["\(last).weight"]!, bias: parameters["\(last).bias"]!, stride: 2, padding: 1
    ).tanh()
  }

  /// A convolution and its norm and activation: folded into it (then `convolve` gets a bias), or after it.
  private func block(_ name: String, activation: Activation, _ convolve: (Tensor, Tensor?) throws -> Tensor) throws
    -> Tensor
  {
    if training == nil, let folded = folded[name] { return try convolve(folded.weight, folded.bias) }
    let y = try convolve(parameters["\(name).0.weight"]!, nil)
    func part(_ part: String) -> Tensor { parameters["\(name).1.\(part)"]! }
    guard let training else {
      return try y.normalized(
        mean: part("running_mean"), variance: part("running_var"), gamma: part("weight"), beta: part("bias")
      ).activated(by: activation)
    }
    let (output, mean, variance) = try y.batchNormalized(
      gamma: part("weight"), beta: part("bias"), activation: activation, over: training.group)
    if !Autograd.isRecomputing { training.observed["\(name).1"] = (mean.detached(), variance.detached()) }
    return output
  }
}

@available(*, unavailable)
extension AttGANGenerator: Sendable {}

/// What batch norms saw of a batch in training.
package final class BatchStatistics {
  package var observed: [String: (mean: Tensor, variance: Tensor)] = [:]

  /// Who has the other images of the batch; nil for nobody.
  let group: (any ReductionGroup)?

  package init(over group: (any ReductionGroup)? = nil) { self.group = group }

  /// Running statistics that remember 0.9 of what they were, as PyTorch's.
  package func blended(into parameters: [String: Tensor]) throws -> [String: Tensor] {
    var result = parameters
    for (name, seen) in observed {
      for (part, value) in [("running_mean", seen.mean), ("running_var", seen.variance)] {
        result["\(name).\(part)"] = try parameters["\(name).\(part)"]! * 0.9 + value * 0.1
      }
    }
    return result
  }
}
