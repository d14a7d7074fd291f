import Foundation
import Synchronization

/// Calls `body` with each of the numbers below `count` once, on every core, the next one as soon as one is done.
func forEachConcurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {
  let taken = Atomic(0)
  DispatchQueue.concurrentPerform(iterations: min(count, ProcessInfo.processInfo.activeProcessorCount)) { _ in
    while true {
      let index = taken.wrappingAdd(1, ordering: .relaxed).oldValue
      guard index < count else { return }
      body(index)
    }
  }
}
