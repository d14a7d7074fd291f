import Kernels

/// Shrunk by a factor, by areas, and brought back, bilinearly.
struct ResizePurifier: Purifier {
  static let name = "resize"
  static let strengths: ClosedRange<Float> = 0.05...1
  static let augmentation: ClosedRange<Float>? = 0.5...0.9

  private let factor: Float

  init(_ strength: Float) { factor = strength }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    let (height, width) = (images.shape[2], images.shape[3])
    func shrunk(_ length: Int) -> Int { max(1, Int((Float(length) * factor).rounded())) }
    return try images.resized(height: shrunk(height), width: shrunk(width), mode: .area)
      .resized(height: height, width: width)
  }
}
