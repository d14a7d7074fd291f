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

  /// Protects an upright picture.
  public func protect(_ image: Image) throws -> ProtectionResult {
    try protector.withLock { try $0.plan(image) }.carriedOut(on: image)
  }

  /// Lends the device for as long as `body` runs.
  public func withDevice<R: Sendable>(_ body: (any Device) throws -> R) rethrows -> R {
    try protector.withLock { try body($0.device) }
  }
}
