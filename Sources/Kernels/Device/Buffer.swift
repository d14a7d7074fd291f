import Synchronization

/// A block of float32 (or 32-bit index) elements in a device's memory. Its memory goes back to the device's
/// arena when the last reference is dropped.
///
/// Work is queued in order, so memory that is still read by queued work may be handed out again at once: whatever
/// writes to it is queued later.
public class Buffer {
  /// The number of 32-bit elements.
  public let count: Int
  /// The device that it is memory of.
  let owner: ObjectIdentifier

  /// What was computed from the contents alone (packed or transformed weights), by the name of the form.
  /// Kept as long as the contents stand; see `contentsDidChange()`.
  private var derived: [String: (form: Buffer, share: DerivedBudget.Share)] = [:]

  init(count: Int, owner: any Device) { (self.count, self.owner) = (count, ObjectIdentifier(owner)) }

  /// To be called by whatever writes into a buffer that was readable before (optimiser steps).
  func contentsDidChange() { derived.removeAll() }

  /// The form under `key`, made by `make` when it is not there; kept for the next time where the budget allows.
  func derived(_ key: String, within budget: DerivedBudget, make: () throws -> Buffer) rethrows -> Buffer {
    if let found = derived[key] { return found.form }
    let made = try make()
    if let share = budget.share(of: made.count * 4) { derived[key] = (made, share) }
    return made
  }
}

@available(*, unavailable)
extension Buffer: Sendable {}

/// How much memory the derived forms of a device's buffers may hold together. Forms beyond it are made anew at each use:
/// Winograd's are four times the size of the weights, and cost a hundredth of the convolution that they serve. It may be
/// drawn upon from any thread.
final class DerivedBudget: Sendable {
  private let remaining: Mutex<Int>

  /// For forms that are held by others anyway.
  static let unlimited = DerivedBudget(bytes: .max)

  init(bytes: Int) { remaining = Mutex(bytes) }

  /// A part of the budget, given back when released.
  final class Share: Sendable {
    private let budget: DerivedBudget
    private let bytes: Int

    fileprivate init(_ budget: DerivedBudget, _ bytes: Int) { (self.budget, self.bytes) = (budget, bytes) }

    deinit { budget.remaining.withLock { $0 += bytes } }
  }

  /// Nil where less than `bytes` remain.
  func share(of bytes: Int) -> Share? {
    remaining.withLock {
      guard bytes <= $0 else { return nil }
      $0 -= bytes
      return Share(self, bytes)
    }
  }
}
