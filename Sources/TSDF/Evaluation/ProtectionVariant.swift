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
  /// How many photos are protected at once.
  let batch: Int
  let protect: ([JudgedPhoto]) throws -> [Image]

  private init(
    name: String, refineSteps: Int, batch: Int = 1, protect: @escaping ([JudgedPhoto]) throws -> [Image]
  ) {
    (self.name, self.refineSteps, self.batch, self.protect) = (name, refineSteps, batch, protect)
  }

  /// Pictures as they are.
  public static var none: ProtectionVariant { ProtectionVariant(name: "none", refineSteps: 0) { $0.map(\.image) } }

  /// What `tsdf protect` does.
  public static func protector(_ protector: Protector, name: String) -> ProtectionVariant {
    ProtectionVariant(name: name, refineSteps: protector.settings.refineSteps, batch: protector.batch) {
      try protector.protect($0.map(\.image)).map(\.image)
    }
  }

  /// Sign steps against the generators, for pictures that are a face.
  /// - Parameters:
  ///   - pgd: the method.
  ///   - name: in tables.
  ///   - steps: of `pgd`, for the report.
  ///   - epsilon: the budget, in units of [-1, 1].
  ///   - seed: of all that is drawn.
  ///   - device: where it is done.
  public static func pgd(_ pgd: ImagePGD, name: String, steps: Int, epsilon: Float, seed: UInt64, on device: any Device)
    -> ProtectionVariant
  {
    ProtectionVariant(name: name, refineSteps: steps) { photos in
      try photos.map { photo in
        let delta = try pgd.perturbation(of: photo.image.tensor(on: device), labels: photo.labels(named:), seed: seed)
        return photo.image.adding(try delta.values(), budget: epsilon)
      }
    }
  }
}

@available(*, unavailable)
extension ProtectionVariant: Sendable {}
