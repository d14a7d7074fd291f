import Foundation

/// Memory of the CPU fallback.
final class CPUBuffer: Buffer {
  let memory: UnsafeMutablePointer<Float>
  private let range: Arena<UnsafeMutableRawPointer>.Range
  private let device: CPUDevice

  fileprivate init(
    _ memory: UnsafeMutablePointer<Float>, _ range: Arena<UnsafeMutableRawPointer>.Range, count: Int, device: CPUDevice
  ) {
    self.memory = memory
    self.range = range
    self.device = device
    super.init(count: count, owner: device)
  }

  deinit { device.arena.give(range) }
}

extension Buffer {
  /// The elements of a CPU buffer.
  /// - Throws: `KernelsError.usage` where it is another device's.
  var floats: UnsafeMutablePointer<Float> {
    get throws {
      guard let own = self as? CPUBuffer else { throw KernelsError.elsewhere(than: "the CPU fallback") }
      return own.memory
    }
  }

  /// The same memory as halves, two an element.
  var halves: UnsafeMutablePointer<Float16> {
    get throws { UnsafeMutableRawPointer(try floats).assumingMemoryBound(to: Float16.self) }
  }

  /// The same memory as 32-bit indices.
  var indices: UnsafeMutablePointer<UInt32> {
    get throws { UnsafeMutableRawPointer(try floats).assumingMemoryBound(to: UInt32.self) }
  }
}

/// The fallback: every operation on all cores, in Swift but for the innermost loop of products, and the specification that
/// kernels are tested against.
package final class CPUDevice: Device {
  package let name = "CPU fallback"
  package var summary: String { "CPU fallback (\(ProcessInfo.processInfo.activeProcessorCount) cores)" }
  fileprivate let arena: Arena<UnsafeMutableRawPointer>
  let derivedBudget: DerivedBudget

  /// - Parameter memoryLimit: the most bytes to hold; nil for what the machine gives.
  package init(memoryLimit: Int? = nil) {
    arena = Arena(granule: 256, slabLength: 64 << 20, limit: memoryLimit)
    derivedBudget = DerivedBudget(bytes: min(64 << 20, (memoryLimit ?? .max) / 16))
  }

  deinit { trim() }

  package var memory: (current: Int, peak: Int) { arena.byteCount }

  package func allocate(_ count: Int) throws -> Buffer {
    let bytes = try byteCount(of: count)
    let (range, slab) = try arena.take(bytes) { length in
      guard let length, let slab = aligned_alloc(4096, (length + 4095) / 4096 * 4096) else {
        throw KernelsError.outOfMemory(device: name, bytes: bytes)
      }
      return slab
    }
    let memory = (slab + range.offset).assumingMemoryBound(to: Float.self)
    return CPUBuffer(memory, range, count: count, device: self)
  }

  package func upload(_ values: UnsafeRawBufferPointer) throws -> Buffer {
    let buffer = try allocate(values.count / 4)
    if let source = values.baseAddress { memcpy(try buffer.floats, source, values.count / 4 * 4) }
    return buffer
  }

  package func download(_ buffer: Buffer, into target: UnsafeMutableRawBufferPointer) throws {
    if let to = target.baseAddress { memcpy(to, try buffer.floats, target.count) }
  }

  package func fill(_ buffer: Buffer, count: Int, value: Float) throws {
    try buffer.floats.update(repeating: value, count: count)
  }

  package func synchronize() throws {}

  package func trim() { arena.drain { free($0) } }
}

@available(*, unavailable)
extension CPUDevice: Sendable {}
