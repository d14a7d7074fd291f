import Kernels
import Pictures

/// A way of protecting that is judged.
public struct ProtectionVariant {
  /// How it is called in reports.
  public let name: String
  /// Gradient steps for each face.
  public let refineSteps: Int
  /// The generators that it was made against, by model; nil where that is not known.
  public var targets: Set<String>?
  let protect: (JudgedPhoto) throws -> Image

  private init(name: String, refineSteps: Int, protect: @escaping (JudgedPhoto) throws -> Image) {
    (self.name, self.refineSteps, self.protect) = (name, refineSteps, protect)
  }

  /// Pictures as they are.
  public static var none: ProtectionVariant { ProtectionVariant(name: "none", refineSteps: 0) { $0.image } }

  /// What `tsdf protect` does.
  public static func protector(_ protector: Protector, name: String) -> ProtectionVariant {
    ProtectionVariant(name: name, refineSteps: protector.settings.refineSteps) {
      try protector.protect($0.image).image
    }
  }

  /// Sign steps against the generators, for pictures that are a face.
  /// - Parameter steps: of `pgd`, for the report.
  public static func pgd(_ pgd: ImagePGD, name: String, steps: Int, epsilon: Float, seed: UInt64, on device: any Device)
    -> ProtectionVariant
  {
    ProtectionVariant(name: name, refineSteps: steps) { photo in
      let delta = try pgd.perturbation(of: photo.image.tensor(on: device), labels: photo.labels(named:), seed: seed)
      return photo.image.adding(try delta.values(), budget: epsilon)
    }
  }
}

@available(*, unavailable)
extension ProtectionVariant: Sendable {}
