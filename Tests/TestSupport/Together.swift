import Foundation
import Kernels
import Synchronization

/// Runs `body` for each member of a group, each in a thread of its own, and gives what they return in their order.
/// - Throws: what the first member that fails throws; the others end with it.
public func together<R: Sendable>(_ count: Int, _ body: @escaping @Sendable (LocalGroup) throws -> R) throws -> [R] {
  let results = Results<R>()
  let work = DispatchGroup()
  for member in LocalGroup.members(count) {
    work.enter()
    let thread = Thread {
      let result = Result { try body(member) }
      if case .failure = result { member.abandon() }
      results.all.withLock { $0.append((member.rank, result)) }
      work.leave()
    }
    thread.stackSize = 8 << 20
    thread.start()
  }
  work.wait()
  return try results.all.withLock { all in
    for case .failure(let error) in all.map(\.result) where !(error is GroupError) { throw error }
    return try all.sorted { $0.rank < $1.rank }.map { try $0.result.get() }
  }
}

private final class Results<R: Sendable>: Sendable {
  let all = Mutex<[(rank: Int, result: Result<R, any Error>)]>([])
}
