import Foundation
import SystemPackage

/// A part of a run that is shared out over processes: each file is in one part, whatever other files there are.
package struct Shard: Sendable, Equatable {
  /// From 0 on, below `count`.
  package let index: Int
  /// At least 1.
  package let count: Int

  /// - Returns: nil unless 0 <= index < count.
  package init?(_ index: Int, of count: Int) {
    guard index >= 0, index < count else { return nil }
    (self.index, self.count) = (index, count)
  }

  /// Whether a file is in this part: by the SHA-256 of its path, so that it stays in it when other files come and go.
  package func contains(_ path: FilePath) -> Bool {
    path.digest.leadingNumber % UInt64(count) == UInt64(index)
  }

  /// The part of things that are counted, in their order: those of all shards follow one another.
  /// - Parameter count: of all of them, at least 0.
  package func range(of count: Int) -> Range<Int> {
    func start(_ index: Int) -> Int { count / self.count * index + min(count % self.count, index) }
    return start(index)..<start(index + 1)
  }
}
