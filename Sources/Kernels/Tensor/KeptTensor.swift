/// How operations keep the activations that their gradients need.
public enum KeptPrecision: String, Codable, CaseIterable, Sendable {
  /// As they are, in 32 bits.
  case single
  /// IEEE 754 binary16, rounded to nearest: half the memory between a forward and its backward pass, at a relative error
  /// of 2^-11 in what the gradients are made of. Values beyond +-65504 become infinite.
  case half
}

/// An activation that an operation keeps for its gradient: in the precision that holds where it is made, or not at all where
/// it can be recomputed from what another operation keeps.
struct KeptTensor {
  private enum Form {
    case single(Tensor)
    case half(Buffer, of: Tensor.Outline)
    case recomputed(() throws -> Buffer, of: Tensor.Outline)
  }

  private let form: Form

  init(_ tensor: Tensor) throws {
    if let recomputation = tensor.node?.recomputation {
      form = .recomputed(recomputation, of: tensor.outline)
      return
    }
    switch Autograd.keptPrecision {
    case .single:
      form = .single(tensor)
    case .half:
      // Operations that keep the same tensor share its packed form.
      let packed = try tensor.buffer.derived("half", within: .unlimited) {
        let packed = try tensor.device.allocate((tensor.count + 1) / 2)
        try tensor.device.packHalves(tensor.buffer, into: packed, count: tensor.count)
        return packed
      }
      form = .half(packed, of: tensor.outline)
    }
  }

  /// The tensor, with its place in the graph.
  func restored() throws -> Tensor {
    switch form {
    case .single(let tensor):
      return tensor
    case .half(let packed, let outline):
      let buffer = try outline.device.allocate(outline.shape.elementCount)
      try outline.device.unpackHalves(packed, into: buffer, count: outline.shape.elementCount)
      return outline.filled(with: buffer)
    case .recomputed(let recomputation, let outline):
      return try outline.filled(with: recomputation())
    }
  }
}

extension Tensor {
  /// All of a tensor but its elements.
  struct Outline {
    let shape: Shape
    let device: any Device
    let node: GradientNode?

    func filled(with buffer: Buffer) -> Tensor { Tensor(shape: shape, device: device, buffer: buffer, node: node) }
  }

  fileprivate var outline: Outline { Outline(shape: shape, device: device, node: node) }
}
