import Foundation
import Synchronization

/// Calls `body` with each of the numbers below `count` once, the next one as soon as one is done.
/// - Parameter width: how many at once; nil for as many as there are cores. More than these serve bodies that wait for a device.
func forEachConcurrently(_ count: Int, width: Int? = nil, _ body: @escaping @Sendable (Int) -> Void) {
  let taken = Counter()
  let group = DispatchGroup()
  for _ in 0..<min(count, width ?? ProcessInfo.processInfo.activeProcessorCount) {
    group.enter()
    // The system's queues have no more threads than cores.
    let thread = Thread {
      while true {
        let index = taken.next()
        guard index < count else { return group.leave() }
        body(index)
      }
    }
    thread.stackSize = 8 << 20
    thread.start()
  }
  group.wait()
}

/// Counts from 0 on, for several threads.
private final class Counter: Sendable {
  private let count = Atomic(0)

  func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).oldValue }
}
