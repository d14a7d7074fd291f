import Kernels

/// What an attacker does to pictures to wash a perturbation out of them, without training anything.
protocol Purifier: Sendable, SendableMetatype {
  /// The name in lists of purifiers.
  static var name: String { get }
  /// What may stand behind the name and a colon.
  static var strengths: ClosedRange<Float> { get }
  /// Whether strengths are whole numbers.
  static var takesWholeNumbers: Bool { get }
  /// The strengths that augmentation draws from; nil where it is of no use there.
  static var augmentation: ClosedRange<Float>? { get }

  /// - Parameter strength: within `strengths`.
  /// - Throws: `PurifierError` where it is none all the same.
  init(_ strength: Float) throws(PurifierError)

  /// Purified images [N, 3, H, W] in [-1, 1].
  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor

  /// The same with a useful gradient, for who crafts through it, and without leaving the device.
  func differentiable(on device: any Device) throws -> DifferentiablePurifier
}

/// Purified images [N, 3, H, W] in [-1, 1], or nearly; differentiable.
typealias DifferentiablePurifier = (_ images: Tensor, _ random: inout RandomStream) throws -> Tensor

extension Purifier {
  func differentiable(on device: any Device) throws -> DifferentiablePurifier {
    { try self($0, random: &$1) }
  }

  static var takesWholeNumbers: Bool { false }
}

/// All purifiers that have a strength alone: what adding one takes, besides its own file.
let purifierTypes: [any Purifier.Type] = [
  JPEGPurifier.self, FullJPEGPurifier.self, BlurPurifier.self, MedianPurifier.self, ResizePurifier.self,
  NoisePurifier.self,
  SaltAndPepperPurifier.self,
]

/// What is wrong with a purifier that was asked for.
public struct PurifierError: Error, CustomStringConvertible, Sendable {
  public let description: String

  init(_ description: String) { self.description = description }
}
