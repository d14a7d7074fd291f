import Foundation

/// Memory for kernels that run on processor cores.
enum HostMemory {
  private static let hugePage = 2 << 20

  /// At least `byteCount` bytes, aligned for vectors. Large blocks ask for huge pages: the Winograd transforms write
  /// dozens of planes at once, more than the translation buffers of a processor cover in small pages.
  static func allocate(byteCount: Int) -> UnsafeMutableRawPointer? {
    let isLarge = byteCount >= 2 * hugePage
    let alignment = isLarge ? hugePage : 4096
    guard let memory = aligned_alloc(alignment, (byteCount + alignment - 1) / alignment * alignment) else { return nil }
    #if os(Linux)
      // Where the system has none to give, ordinary pages serve.
      if isLarge { _ = madvise(memory, byteCount, MADV_HUGEPAGE) }
    #endif
    return memory
  }
}
