import Foundation

/// Memory of the CPU fallback.
final class CPUBuffer: Buffer {
  let memory: UnsafeMutablePointer<Float>
  private let capacity: Int
  private let device: CPUDevice

  fileprivate init(memory: UnsafeMutablePointer<Float>, capacity: Int, count: Int, device: CPUDevice) {
    self.memory = memory
    self.capacity = capacity
    self.device = device
    super.init(count: count)
  }

  deinit { device.pool.give(memory, capacity: capacity) }
}

extension Buffer {
  /// The elements of a CPU buffer.
  var floats: UnsafeMutablePointer<Float> { unsafeDowncast(self, to: CPUBuffer.self).memory }

  /// The same memory as 32-bit indices.
  var indices: UnsafeMutablePointer<UInt32> {
    UnsafeMutableRawPointer(floats).assumingMemoryBound(to: UInt32.self)
  }
}

/// The fallback: every operation in plain Swift on all cores, and the specification that kernels are tested against.
public final class CPUDevice: Device {
  public let name = "CPU fallback"
  public var summary: String { "CPU fallback (\(ProcessInfo.processInfo.activeProcessorCount) cores, plain Swift)" }
  fileprivate let pool = BufferPool<UnsafeMutablePointer<Float>>()
  private let lock = NSLock()
  private var bytes = (current: 0, peak: 0)

  public init() {}

  deinit { trim() }

  public var memory: (current: Int, peak: Int) { lock.withLock { bytes } }

  public func allocate(_ count: Int) throws -> Buffer {
    let capacity = BufferPool<UnsafeMutablePointer<Float>>.capacity(for: count)
    if let (memory, capacity) = pool.take(capacity) {
      return CPUBuffer(memory: memory, capacity: capacity, count: count, device: self)
    }
    guard let memory = HostMemory.allocate(byteCount: capacity * 4) else {
      throw KernelsError.outOfMemory(device: name, bytes: capacity * 4)
    }
    lock.withLock {
      bytes.current += capacity * 4
      bytes.peak = max(bytes.peak, bytes.current)
    }
    return CPUBuffer(memory: memory.assumingMemoryBound(to: Float.self), capacity: capacity, count: count, device: self)
  }

  public func upload(_ values: UnsafeRawBufferPointer) throws -> Buffer {
    let buffer = try allocate(values.count / 4)
    memcpy(buffer.floats, values.baseAddress!, values.count / 4 * 4)
    return buffer
  }

  public func download(_ buffer: Buffer, into target: UnsafeMutableRawBufferPointer) throws {
    memcpy(target.baseAddress!, buffer.floats, target.count)
  }

  public func fill(_ buffer: Buffer, count: Int, value: Float) throws {
    buffer.floats.update(repeating: value, count: count)
  }

  public func synchronize() throws {}

  public func trim() {
    let released = pool.idleBytes
    pool.drain { free($0) }
    lock.withLock { bytes.current -= released }
  }
}
