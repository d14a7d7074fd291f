/// Members that work on one batch together, each with a device of its own: in one process or in several. All of them make the same
/// calls in the same order; each call waits for all.
public protocol ReductionGroup: Sendable {
  /// This member's number, from 0 on. Member 0 writes what is to be written.
  var rank: Int { get }
  /// How many members there are, at least 1.
  var count: Int { get }
  /// What the exchange has taken so far.
  var exchange: ExchangeAccount { get }

  /// Element by element the sum over the members, in the order of their numbers: the same bits at each.
  /// - Throws: `GroupError` where another member is gone, or gave another number of values.
  func sum(_ values: [Float]) throws -> [Float]

  /// What member 0 gives.
  /// - Throws: `GroupError` likewise.
  func broadcast(_ values: [Float]) throws -> [Float]

  /// Tells the others that this member can go on no more: what they wait for ends with an error.
  func abandon()
}

/// What exchanging values has taken a member.
public struct ExchangeAccount: Sendable {
  /// Calls, and bytes that the member gave to be exchanged.
  public var calls = 0, bytes = 0
  /// Waiting for the others included.
  public var seconds = 0.0

  /// No calls yet.
  public init() {}

  /// Adds a call in which the member gave so many values.
  mutating func add(valueCount: Int, since start: ContinuousClock.Instant) {
    calls += 1
    bytes += valueCount * MemoryLayout<Float>.size
    seconds += (ContinuousClock.now - start) / .seconds(1)
  }
}

/// A group that cannot go on.
public struct GroupError: Error, CustomStringConvertible {
  /// One sentence for people.
  public let description: String

  /// - Parameter description: one sentence for people.
  public init(_ description: String) { self.description = description }
}

extension ReductionGroup {
  /// Whether all members give the same text.
  package func agree(on text: String) throws -> Bool {
    // FNV-1a, in parts that a float holds.
    let hash = text.utf8.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    let own = (0..<4).map { Float(hash >> (16 * $0) & 0xffff) }
    let differs = try broadcast(own) != own
    return try sum([differs ? 1 : 0]) == [0]
  }

  /// Whether any member says yes.
  package func any(_ isTrue: Bool) throws -> Bool { try sum([isTrue ? 1 : 0]) != [0] }

  /// The part of so many images that this member computes; some are empty where there are more members than images.
  func part(of images: Int) -> Range<Int> { rank * images / count..<(rank + 1) * images / count }
}
