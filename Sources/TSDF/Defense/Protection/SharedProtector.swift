import Kernels
import Pictures
import Synchronization

/// Protects pictures from several threads: the device works for one at a time, the rest runs side by side.
public final class SharedProtector: Sendable {
  public let settings: ProtectionSettings
  private let protector: Mutex<Protector>

  /// - Parameter protector: given up by the caller, and with it its device and all that is on it.
  public init(_ protector: sending Protector) {
    settings = protector.settings
    self.protector = Mutex(protector)
  }

  /// Protects an upright picture; see `Protector`.
  public func protect(
    _ image: Image, encoding: PictureEncoding? = nil, note: @Sendable (ProtectionProgress) -> Void = { _ in }
  ) throws -> ProtectionResult {
    let view = encoding?.view
    return try Protection.carriedOut(on: image, budget: settings.epsilon, encoding: encoding) { protection, saved in
      let before = protection
      let (after, isSought) = try protector.withLock {
        var protection = before
        let isSought = try $0.advance(&protection, saved: saved, view: view, note: note)
        return (protection, isSought)
      }
      protection = after
      return isSought
    }
  }

  /// Lends the device for as long as `body` runs.
  public func withDevice<R: Sendable>(_ body: (any Device) throws -> R) rethrows -> R {
    try protector.withLock { try body($0.device) }
  }
}
