import Foundation
import Synchronization

/// Calls `body` with each of the numbers below `count` once, the next one as soon as one is done.
/// - Parameter width: how many at once; nil for as many as there are cores. More than these serve bodies that wait for a device.
func forEachConcurrently(_ count: Int, width: Int? = nil, _ body: @Sendable (Int) -> Void) {
  let taken = Atomic(0)
  let width = min(count, width ?? ProcessInfo.processInfo.activeProcessorCount)
  withoutActuallyEscaping(body) { body in
    let group = DispatchGroup()
    for _ in 0..<width {
      // The system's queues have no more threads than cores.
      group.enter()
      let thread = Thread {
        while true {
          let index = taken.wrappingAdd(1, ordering: .relaxed).oldValue
          guard index < count else { return group.leave() }
          body(index)
        }
      }
      thread.stackSize = 8 << 20
      thread.start()
    }
    group.wait()
  }
}
