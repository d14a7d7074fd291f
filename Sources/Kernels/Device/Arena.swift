import Foundation

/// Memory in slabs, of which ranges are handed out and taken back: what one tensor leaves serves the next, of whatever
/// size, so that a step holds little more than what is alive in it, and a loop of the same steps allocates nothing. Or,
/// where slabs cannot be cut, of the same length.
package final class Arena<Memory> {
  /// A range of a slab, in bytes.
  package struct Range {
    fileprivate(set) var slab: Int
    package fileprivate(set) var offset: Int
    package fileprivate(set) var length: Int
  }

  private struct Slab {
    var memory: Memory
    var length: Int
    /// What is free, by ascending offset, neighbours joined.
    var free: [(offset: Int, length: Int)]
    var isFree: Bool { free.count == 1 && free[0].length == length }
  }

  /// Offsets and lengths are multiples of this.
  let granule: Int
  /// The length of a slab, but for single ranges that need more; 0: every range has a slab of its own.
  let slabLength: Int
  private var slabs: [Int: Slab] = [:]
  /// The free slabs of a length, where every range has its own.
  private var freeSlabs: [Int: [Int]] = [:]
  private var nextSlab = 0
  private let lock = NSLock()

  /// The most bytes in slabs.
  let limit: Int

  /// - Parameters:
  ///   - slabLength: 0 for a slab of its own for every range, that later serves ranges of that very length.
  ///   - limit: the most bytes in slabs; nil for no limit.
  package init(granule: Int, slabLength: Int, limit: Int? = nil) {
    self.granule = granule
    self.limit = limit ?? .max
    // A tight limit is filled by slabs of its own measure, so that little of it stays unused.
    self.slabLength = min(slabLength, self.limit / 16 / granule * granule)
  }

  private var bytes = (current: 0, peak: 0)

  /// Bytes in slabs, now and at most.
  package var byteCount: (current: Int, peak: Int) { lock.withLock { bytes } }

  /// A range of at least `length` bytes and the slab that holds it: the smallest free range that is large enough, else
  /// in a new slab that `make` returns for the length it is given: nil where that would exceed the limit, and then it
  /// must throw.
  package func take(_ length: Int, make: (Int?) throws -> Memory) rethrows -> (Range, Memory) {
    let length = max(1, (length + granule - 1) / granule) * granule
    lock.lock()
    defer { lock.unlock() }
    if slabLength == 0, let id = freeSlabs[length]?.popLast() {
      slabs[id]!.free = []
      return (Range(slab: id, offset: 0, length: length), slabs[id]!.memory)
    }
    var best: (slab: Int, index: Int, length: Int)?
    for (id, slab) in slabs where slabLength > 0 {
      for (index, range) in slab.free.enumerated() where range.length >= length {
        // Ties by the older slab: the order must not depend on the dictionary's.
        if best.map({ (range.length, id, index) < ($0.length, $0.slab, $0.index) }) ?? true {
          best = (id, index, range.length)
        }
      }
    }
    if best == nil {
      let whole = max(length, slabLength)
      slabs[nextSlab] = Slab(
        memory: try make(bytes.current + whole <= limit ? whole : nil), length: whole, free: [(0, whole)])
      best = (nextSlab, 0, whole)
      nextSlab += 1
      bytes.current += whole
      bytes.peak = max(bytes.peak, bytes.current)
    }
    let (id, index, _) = best!
    let offset = slabs[id]!.free[index].offset
    if slabs[id]!.free[index].length == length {
      slabs[id]!.free.remove(at: index)
    } else {
      slabs[id]!.free[index].offset += length
      slabs[id]!.free[index].length -= length
    }
    return (Range(slab: id, offset: offset, length: length), slabs[id]!.memory)
  }

  /// Takes a range back.
  package func give(_ range: Range) {
    lock.lock()
    defer { lock.unlock() }
    guard var slab = slabs[range.slab] else { return }
    var (offset, length) = (range.offset, range.length)
    var index = slab.free.firstIndex { $0.offset > offset } ?? slab.free.count
    if index < slab.free.count, slab.free[index].offset == offset + length {
      length += slab.free.remove(at: index).length
    }
    if index > 0, slab.free[index - 1].offset + slab.free[index - 1].length == offset {
      index -= 1
      let before = slab.free.remove(at: index)
      (offset, length) = (before.offset, before.length + length)
    }
    slab.free.insert((offset, length), at: index)
    slabs[range.slab] = slab
    if slabLength == 0 { freeSlabs[length, default: []].append(range.slab) }
  }

  /// Hands slabs that are wholly free to `release`, until they are of so many bytes: the smallest that is enough alone, else the largest.
  /// - Parameter wanted: nil for all of them.
  package func drain(_ wanted: Int? = nil, _ release: (Memory) -> Void) {
    lock.lock()
    defer { lock.unlock() }
    // Ties by the older slab: the order must not depend on the dictionary's.
    let free = slabs.filter(\.value.isFree).sorted { ($0.value.length, $1.key) < ($1.value.length, $0.key) }
    var left = wanted ?? .max
    for (id, slab) in free.first(where: { $0.value.length >= left }).map({ [$0] }) ?? free.reversed() where left > 0 {
      release(slab.memory)
      bytes.current -= slab.length
      left -= slab.length
      slabs[id] = nil
      freeSlabs[slab.length]?.removeAll { $0 == id }
    }
  }
}
