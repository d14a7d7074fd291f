import Foundation
import Kernels

/// A Gaussian blur of a standard deviation in pixels, over what lies within the image: to three deviations, row by row and column
/// by column.
struct BlurPurifier: Purifier {
  static let name = "blur"
  static let strengths: ClosedRange<Float> = 0.1...20
  static let augmentation: ClosedRange<Float>? = 0.5...1.5

  private let deviation: Float

  init(_ strength: Float) { deviation = strength }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    // Divided by what a white image becomes, a mean of what is there, at borders too.
    let white = try Tensor(repeating: 1, shape: [1, 1] + images.shape.suffix(2), device: images.device)
    return try blurred(images) / blurred(white)
  }

  private func blurred(_ images: Tensor) throws -> Tensor {
    let reach = Int((3 * deviation).rounded(.up))
    let weights = (-reach...reach).map { exp(-Float($0 * $0) / (2 * deviation * deviation)) }
    let channels = images.shape[1]
    func kernel(_ shape: Shape) throws -> Tensor {
      try Tensor((0..<channels).flatMap { _ in weights }, shape: [channels, 1] + shape, device: images.device)
    }
    let rows = try images.padded(top: 0, bottom: 0, left: reach, right: reach)
      .convolved(with: kernel([1, weights.count]), groups: channels)
    return try rows.padded(top: reach, bottom: reach, left: 0, right: 0)
      .convolved(with: kernel([weights.count, 1]), groups: channels)
  }
}
