import Foundation
import Kernels
import Pictures
import Synchronization

/// Protects pictures from several threads on one device or several. A device finds faces for one picture at a time and refines those of
/// several together: whichever thread waits for a face takes all of its device's a few steps further. The rest runs side by side.
public final class SharedProtector: Sendable {
  /// A device's own.
  private final class Member: Sendable {
    let settings: ProtectionSettings
    private let protector: Mutex<Protector>
    /// Whose turn it is: threads that wait for a lock alone may wait forever beside those that take it again and again.
    private let turn = NSCondition()
    private let tickets = Mutex((next: 0, serving: 0))

    init(_ protector: sending Protector) {
      settings = protector.settings
      self.protector = Mutex(protector)
    }

    /// Lends the protector, in the order of the calls.
    func withProtector<R: Sendable>(_ body: (Protector) throws -> R) rethrows -> R {
      let ticket = tickets.withLock { tickets in
        defer { tickets.next += 1 }
        return tickets.next
      }
      turn.lock()
      while tickets.withLock({ $0.serving != ticket }) { turn.wait() }
      turn.unlock()
      defer {
        turn.lock()
        tickets.withLock { $0.serving += 1 }
        turn.broadcast()
        turn.unlock()
      }
      return try protector.withLock { try body($0) }
    }

    /// Does a part of a picture's protection.
    func takeTurn(
      _ protection: inout Protection, _ body: (Protector, inout Protection) throws -> Void
    ) rethrows {
      let before = protection
      protection = try withProtector { protector in
        var protection = before
        try body(protector, &protection)
        return protection
      }
    }
  }

  private let members: [Member]
  /// How many more pictures would do each device good. The one with most room gets the next, the first of several: devices stand in the
  /// order in which they were asked for.
  private let room: Mutex<[Int]>
  /// How many pictures are best in work at once.
  public let batch: Int

  /// - Parameters:
  ///   - count: how many devices there are, at least one.
  ///   - protector: makes the protector of each, of the same settings; it is given up, and with it its device and all that is on it.
  public init(devices count: Int = 1, _ protector: (Int) throws -> sending Protector) rethrows {
    var batches: [Int] = []
    members = try (0..<count).map { number in
      let made = try protector(number)
      batches.append(made.batch)
      return Member(made)
    }
    room = Mutex(batches)
    batch = batches.reduce(0, +)
  }

  /// How each device protects.
  public var settings: ProtectionSettings { members[0].settings }

  /// Protects an upright picture; see `Protector`.
  public func protect(
    _ image: Image, encoding: PictureEncoding? = nil, note: @Sendable (ProtectionProgress) -> Void = { _ in }
  ) throws -> ProtectionResult {
    var protection = Protection(image, budget: settings.epsilon)
    let view = encoding?.view
    return try withMember { member in
      do {
        try member.takeTurn(&protection) { try $0.begin(&$1, note: note) }
        while true {
          while protection.isInRound { try member.takeTurn(&protection) { try $0.proceed(with: &$1, note: note) } }
          let result = try protection.concluded(as: encoding) { protection, saved in
            try member.takeTurn(&protection) { try $0.judge(&$1, as: saved, view: view, note: note) }
          }
          if let result { return result }
        }
      } catch {
        member.takeTurn(&protection) { $0.abandon(&$1) }
        throw error
      }
    }
  }

  private func withMember<R>(_ body: (Member) throws -> R) rethrows -> R {
    let index = room.withLock { room in
      // The first of the largest.
      let index = room.indices.max { room[$0] < room[$1] || room[$0] == room[$1] && $0 > $1 }!
      room[index] -= 1
      return index
    }
    defer { room.withLock { $0[index] += 1 } }
    return try body(members[index])
  }

  /// Lends each device for as long as `body` runs.
  package func forEachDevice(_ body: (any Device) throws -> Void) rethrows {
    for member in members { try member.withProtector { try body($0.device) } }
  }
}
