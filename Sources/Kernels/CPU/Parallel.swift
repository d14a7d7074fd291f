import Dispatch
import Foundation

/// Runs `body` over `0 ..< count` in pieces of at least `grain`, on all cores; returns when all are done.
func parallel(_ count: Int, grain: Int = 1, _ body: (Range<Int>) -> Void) {
  let cores = ProcessInfo.processInfo.activeProcessorCount
  let pieces = max(1, min(cores * 4, count / max(grain, 1)))
  if pieces == 1 || cores == 1 {
    body(0..<count)
    return
  }
  // The pieces are disjoint: no two write to the same element, and none outlives this call.
  nonisolated(unsafe) let body = body
  DispatchQueue.concurrentPerform(iterations: pieces) { piece in
    body(count * piece / pieces..<count * (piece + 1) / pieces)
  }
}
