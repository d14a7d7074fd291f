import Kernels

/// Normal noise of a standard deviation on a scale of 0 to 1.
struct NoisePurifier: Purifier {
  static let name = "noise"
  static let strengths: ClosedRange<Float> = 0...1
  static let augmentation: ClosedRange<Float>? = 0.01...0.05

  private let deviation: Float

  init(_ strength: Float) { deviation = strength }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    let noise = try random.normal(images.shape, device: images.device)
    return try (images + noise * (2 * deviation)).clamped(to: -1...1)
  }
}

/// A share of the pixels made black or white, half of them each.
struct SaltAndPepperPurifier: Purifier {
  static let name = "salt"
  static let strengths: ClosedRange<Float> = 0...1
  static let augmentation: ClosedRange<Float>? = nil

  private let share: Float

  init(_ strength: Float) { share = strength }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    let (count, sides) = (images.shape[0], Array(images.shape.suffix(2)))
    // One draw a pixel, all its channels alike: below share / 2 black, above 1 - share / 2 white.
    let draws = try random.uniform([count, 1] + sides, device: images.device)
    let bound = try Tensor(repeating: 1 - share / 2, shape: [1], device: images.device)
    let white = try draws.greater(than: bound)
    let black = try (1 - draws).greater(than: bound)
    return try images * (1 - white - black) + white - black
  }
}
