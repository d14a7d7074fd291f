import Dispatch
import Synchronization

/// A member of a group in one process, a thread each.
public final class LocalGroup: ReductionGroup {
  /// What the members share.
  private final class Meeting: Sendable {
    struct State {
      /// What members gave of the call that is under way; nil of those that are not there yet.
      var given: [[Float]?]
      /// What all gave in the last call that is complete. The next is not complete before each has taken this.
      var complete: [[Float]] = []
      var isAbandoned = false
    }

    let state: Mutex<State>
    /// One a member: it waits for the last one here.
    let arrivals: [DispatchSemaphore]

    init(_ count: Int) {
      state = Mutex(State(given: [[Float]?](repeating: nil, count: count)))
      arrivals = (0..<count).map { _ in DispatchSemaphore(value: 0) }
    }
  }

  public let rank: Int
  private let meeting: Meeting
  private let account = Mutex(ExchangeAccount())

  private init(_ rank: Int, _ meeting: Meeting) { (self.rank, self.meeting) = (rank, meeting) }

  /// All members of a new group, in the order of their numbers.
  public static func members(_ count: Int) -> [LocalGroup] {
    let meeting = Meeting(count)
    return (0..<count).map { LocalGroup($0, meeting) }
  }

  public var count: Int { meeting.arrivals.count }
  public var exchange: ExchangeAccount { account.withLock { $0 } }

  public func sum(_ values: [Float]) throws -> [Float] {
    try exchanging(values) { parts in
      guard parts.allSatisfy({ $0.count == values.count }) else {
        throw GroupError("the members give different numbers of values: \(parts.map(\.count))")
      }
      var total = parts[0]
      for part in parts.dropFirst() { for index in total.indices { total[index] += part[index] } }
      return total
    }
  }

  public func broadcast(_ values: [Float]) throws -> [Float] { try exchanging(values) { $0[0] } }

  public func abandon() {
    meeting.state.withLock { $0.isAbandoned = true }
    for arrival in meeting.arrivals { arrival.signal() }
  }

  private func exchanging(_ values: [Float], _ body: ([[Float]]) throws -> [Float]) throws -> [Float] {
    let start = ContinuousClock.now
    defer { account.withLock { $0.add(valueCount: values.count, since: start) } }
    let isLast = meeting.state.withLock { state in
      state.given[rank] = values
      guard state.given.allSatisfy({ $0 != nil }) else { return false }
      state.complete = state.given.map { $0! }
      state.given = state.given.map { _ in nil }
      return true
    }
    if isLast {
      for (other, arrival) in meeting.arrivals.enumerated() where other != rank { arrival.signal() }
    } else {
      meeting.arrivals[rank].wait()
    }
    let parts = try meeting.state.withLock { state in
      guard !state.isAbandoned else { throw GroupError("another member of the group cannot go on") }
      return state.complete
    }
    return try body(parts)
  }
}
