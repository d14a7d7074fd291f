import Dispatch
import Kernels
import Pictures
import Synchronization

/// Protects pictures from several threads on one device or several: each device works for one picture at a time, and who is done
/// first gets the next. The rest runs side by side.
public final class SharedProtector: Sendable {
  /// A device's own.
  private final class Member: Sendable {
    let settings: ProtectionSettings
    let protector: Mutex<Protector>

    init(_ protector: sending Protector) {
      settings = protector.settings
      self.protector = Mutex(protector)
    }
  }

  private let members: [Member]
  /// Those that nobody uses. The first of them is taken: devices stand in the order in which they were asked for.
  private let idle: Mutex<Set<Int>>
  private let idleCount: DispatchSemaphore

  /// - Parameters:
  ///   - count: how many devices there are, at least one.
  ///   - protector: makes the protector of each, of the same settings; it is given up, and with it its device and all that is on it.
  public init(devices count: Int = 1, _ protector: (Int) throws -> sending Protector) rethrows {
    members = try (0..<count).map { Member(try protector($0)) }
    idle = Mutex(Set(0..<count))
    idleCount = DispatchSemaphore(value: count)
  }

  public var settings: ProtectionSettings { members[0].settings }

  /// Protects an upright picture; see `Protector`.
  public func protect(
    _ image: Image, encoding: PictureEncoding? = nil, note: @Sendable (ProtectionProgress) -> Void = { _ in }
  ) throws -> ProtectionResult {
    let view = encoding?.view
    return try Protection.carriedOut(on: image, budget: settings.epsilon, encoding: encoding) { protection, saved in
      let before = protection
      let (after, isSought) = try withIdle {
        var protection = before
        let isSought = try $0.advance(&protection, saved: saved, view: view, note: note)
        return (protection, isSought)
      }
      protection = after
      return isSought
    }
  }

  private func withIdle<R: Sendable>(_ body: (Protector) throws -> R) rethrows -> R {
    idleCount.wait()
    let index = idle.withLock { free in
      let first = free.min()!
      free.remove(first)
      return first
    }
    defer {
      idle.withLock { _ = $0.insert(index) }
      idleCount.signal()
    }
    return try members[index].protector.withLock { try body($0) }
  }

  /// Lends each device for as long as `body` runs.
  public func forEachDevice(_ body: (any Device) throws -> Void) rethrows {
    for member in members { try member.protector.withLock { try body($0.device) } }
  }
}
