import Foundation

/// A block of float32 (or 32-bit index) elements in a device's memory. Its memory goes back to the device's
/// pool when the last reference is dropped.
///
/// Work is queued in order, so memory that is still read by queued work may be handed out again at once: whatever
/// writes to it is queued later.
public class Buffer {
  /// The number of 32-bit elements.
  public let count: Int

  /// What was computed from the contents alone (packed or transformed weights), by the name of the form.
  /// Kept as long as the contents stand; see `contentsDidChange()`.
  var derived: [String: Buffer] = [:]

  init(count: Int) { self.count = count }

  /// To be called by whatever writes into a buffer that was readable before (optimiser steps).
  func contentsDidChange() { derived.removeAll() }

  /// The buffer under `key` in `derived`, made by `make` when it is not there yet.
  func derived(_ key: String, make: () throws -> Buffer) rethrows -> Buffer {
    if let found = derived[key] { return found }
    let made = try make()
    derived[key] = made
    return made
  }
}

/// Free memory blocks by capacity, so that a loop that allocates the same shapes again allocates nothing.
/// A request takes the smallest free block that is at most a quarter larger.
final class BufferPool<Memory> {
  private var free: [Int: [Memory]] = [:]
  private var capacities: [Int] = []  // ascending, those with a free block
  private let lock = NSLock()

  /// Bytes in the blocks that wait for reuse.
  private(set) var idleBytes = 0

  /// The capacity, in elements, that a request for `count` should allocate: a multiple of 1/16 of its power of two.
  static func capacity(for count: Int) -> Int {
    let power = max(64, 1 << (Int.bitWidth - 1 - max(count, 1).leadingZeroBitCount))
    let step = max(16, power / 16)
    return (count + step - 1) / step * step
  }

  /// A free block of at least `capacity` elements with its own capacity, or nil.
  func take(_ capacity: Int) -> (memory: Memory, capacity: Int)? {
    lock.withLock {
      guard let index = capacities.firstIndex(where: { $0 >= capacity }) else { return nil }
      let found = capacities[index]
      guard found <= capacity + capacity / 4 + 256, let memory = free[found]?.popLast() else { return nil }
      if free[found]!.isEmpty {
        free[found] = nil
        capacities.remove(at: index)
      }
      idleBytes -= found * 4
      return (memory, found)
    }
  }

  func give(_ memory: Memory, capacity: Int) {
    lock.withLock {
      if free[capacity] == nil {
        let index = capacities.firstIndex { $0 > capacity } ?? capacities.count
        capacities.insert(capacity, at: index)
      }
      free[capacity, default: []].append(memory)
      idleBytes += capacity * 4
    }
  }

  /// Empties the pool, handing every block to `release`.
  func drain(_ release: (Memory) -> Void) {
    lock.withLock {
      free.values.joined().forEach(release)
      free = [:]
      capacities = []
      idleBytes = 0
    }
  }
}
