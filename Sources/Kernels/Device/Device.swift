/// Something that stores tensors and runs kernels: an OpenCL device or the CPU fallback.
///
/// Each operation family is a protocol of its own, so that a back end that lacks an operation does not compile.
public protocol Device: AnyObject, ElementwiseKernels, MovementKernels, ReductionKernels, NormalizationKernels,
  ConvolutionKernels, MatrixKernels, PoolingKernels, BlockKernels, ResamplingKernels, RandomKernels, OptimizerKernels
{
  /// The device's name, as its driver gives it.
  var name: String { get }

  /// One line for people: device, platform, driver.
  var summary: String { get }

  /// Uninitialised memory for `count` elements.
  /// - Throws: `KernelsError.outOfMemory`.
  func allocate(_ count: Int) throws -> Buffer

  /// New memory holding `values`, which are copied before the call returns.
  func upload(_ values: UnsafeRawBufferPointer) throws -> Buffer

  /// Waits for everything queued and copies the buffer's first `target.count / 4` elements out.
  func download(_ buffer: Buffer, into target: UnsafeMutableRawBufferPointer) throws

  /// Sets the first `count` elements to `value`.
  func fill(_ buffer: Buffer, count: Int, value: Float) throws

  /// Runs `body`, in which what is computed of an image does not depend, to the last bit, on how many others share its batch: algorithms
  /// are chosen as for batches of `count` images.
  func planning<R>(forBatchesOf count: Int, _ body: () throws -> R) rethrows -> R

  /// Waits until all queued work is done.
  func synchronize() throws

  /// Bytes of device memory held now, free ranges of slabs included, and the most that was ever held.
  var memory: (current: Int, peak: Int) { get }

  /// Returns slabs that hold nothing to the system.
  func trim()
}

extension Device {
  /// For devices whose algorithms never depend on the batch.
  package func planning<R>(forBatchesOf count: Int, _ body: () throws -> R) rethrows -> R { try body() }

  /// The bytes of `count` elements.
  /// - Throws: `KernelsError.outOfMemory` where there cannot be so many, as of a shape that overflows.
  func byteCount(of count: Int) throws -> Int {
    guard (0...1 << 48).contains(count) else { throw KernelsError.outOfMemory(device: name, bytes: .max) }
    return count * MemoryLayout<Float>.size
  }

  /// Refuses another device's buffer.
  func requireOwn(_ buffer: Buffer) throws {
    guard buffer.owner == ObjectIdentifier(self) else { throw KernelsError.elsewhere(than: name) }
  }

  /// New memory holding `values`.
  package func upload(_ values: [Float]) throws -> Buffer {
    try values.withUnsafeBytes { try upload($0) }
  }

  /// New memory holding 32-bit indices.
  package func upload(_ values: [UInt32]) throws -> Buffer {
    try values.withUnsafeBytes { try upload($0) }
  }
}
