import Kernels

/// The median of the square of a side in pixels, an odd number, around each.
struct MedianPurifier: Purifier {
  static let name = "median"
  static let strengths: ClosedRange<Float> = 3...15
  static let takesWholeNumbers = true
  static let augmentation: ClosedRange<Float>? = nil

  private let side: Int

  init(_ strength: Float) throws(PurifierError) {
    side = Int(strength)
    guard side % 2 == 1 else { throw PurifierError("a median's side is an odd number of pixels, not \(side)") }
  }

  /// With the gradient of the mean: that of the one pixel that is the median leads to no step that holds.
  func differentiable(on device: any Device) throws -> DifferentiablePurifier {
    { images, _ in
      try images.averagePooled(size: side, stride: 1, padding: side / 2).withValues(of: images.medianPooled(size: side))
    }
  }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    try images.medianPooled(size: side)
  }
}
