/// A contiguous float32 tensor on a device, and its place in the graph of computations that gradients run back through.
///
/// Values are immutable but for the optimiser steps, which update parameters in place. Operations queue work and
/// return at once; only `values()`, `item()` and `Device.synchronize()` wait.
///
/// Every operation throws `KernelsError`: `shape` where shapes or parameters do not fit, `usage` where tensors are on different
/// devices, `outOfMemory` and `openCL` where the device fails.
public struct Tensor {
  /// Extents, outermost first.
  public let shape: Shape
  /// Where the elements live.
  public let device: any Device
  private(set) var buffer: Buffer
  var node: GradientNode?

  init(shape: Shape, device: any Device, buffer: Buffer, node: GradientNode? = nil) {
    self.shape = shape
    self.device = device
    self.buffer = buffer
    self.node = node
  }

  /// A tensor of the given row-major values.
  /// - Throws: `KernelsError.shape` unless there are exactly as many as the shape holds, and at least one.
  public init(_ values: [Float], shape: Shape, device: any Device) throws {
    guard shape.elementCount == values.count, !values.isEmpty else {
      throw KernelsError.shape(operation: "Tensor", "\(values.count) values do not fill shape \(shape)")
    }
    self.init(shape: shape, device: device, buffer: try device.upload(values))
  }

  /// A tensor of row-major float32 in memory, at any address: a file's, say.
  /// - Throws: `KernelsError.shape` unless there are exactly as many as the shape holds, and at least one.
  public init(bytes: UnsafeRawBufferPointer, shape: Shape, device: any Device) throws {
    guard bytes.count % 4 == 0, shape.elementCount == bytes.count / 4, !bytes.isEmpty else {
      throw KernelsError.shape(operation: "Tensor", "\(bytes.count) bytes do not fill shape \(shape)")
    }
    self.init(shape: shape, device: device, buffer: try device.upload(bytes))
  }

  /// A tensor with every element `value`.
  /// - Throws: `KernelsError.shape` where the shape holds nothing, `KernelsError.outOfMemory` where it holds too much.
  public init(repeating value: Float, shape: Shape, device: any Device) throws {
    try requireElements(shape, "Tensor")
    self.init(shape: shape, device: device, buffer: try device.allocate(shape.elementCount))
    try device.fill(buffer, count: shape.elementCount, value: value)
  }

  /// The number of elements.
  public var count: Int { shape.elementCount }

  /// The number of axes.
  public var rank: Int { shape.count }

  /// The elements, row-major. Waits for queued work.
  public func values() throws -> [Float] {
    try [Float](unsafeUninitializedCapacity: count) { target, initialized in
      try device.download(
        buffer, into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(target)[..<(count * 4)]))
      initialized = count
    }
  }

  /// The only element. Waits for queued work.
  public func item() throws -> Float {
    guard count == 1 else { throw KernelsError.shape(operation: "item", "shape \(shape) has more than one element") }
    return try values()[0]
  }

  /// Memory for a result of this one's size that an operation may write as it reads this: its own, where nobody else holds
  /// that.
  mutating func successor() throws -> Buffer {
    guard isKnownUniquelyReferenced(&buffer) else { return try device.allocate(count) }
    buffer.contentsDidChange()
    return buffer
  }

  /// The same elements on another device, outside any graph.
  public func copied(to device: any Device) throws -> Tensor {
    try Tensor(values(), shape: shape, device: device)
  }
}

@available(*, unavailable)
extension Tensor: Sendable {}

/// Refuses a shape that holds no element.
func requireElements(_ shape: Shape, _ operation: String) throws {
  guard shape.allSatisfy({ $0 > 0 }) else {
    throw KernelsError.shape(operation: operation, "the shape \(shape) holds nothing")
  }
}
