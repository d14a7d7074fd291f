import Kernels
import Pictures

/// A JPEG file of a quality, colours at half size, as cameras and sites write them. Through the codec itself, so it has no gradient.
struct JPEGPurifier: Purifier {
  static let name = "jpeg"
  static let strengths: ClosedRange<Float> = 1...100
  static let takesWholeNumbers = true
  static let augmentation: ClosedRange<Float>? = 30...95

  private let quality: Int

  init(_ strength: Float) { quality = Int(strength) }

  func differentiable(on device: any Device) throws -> DifferentiablePurifier {
    let model = try JPEGModel(quality: quality, subsampling: .halved, device: device)
    return { images, _ in try model(images) }
  }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    try saved(images, quality: quality, subsampling: .halved)
  }
}

/// The same with colours at full size.
struct FullJPEGPurifier: Purifier {
  static let name = "jpeg444"
  static let strengths: ClosedRange<Float> = 1...100
  static let takesWholeNumbers = true
  static let augmentation: ClosedRange<Float>? = nil

  private let quality: Int

  init(_ strength: Float) { quality = Int(strength) }

  func differentiable(on device: any Device) throws -> DifferentiablePurifier {
    let model = try JPEGModel(quality: quality, subsampling: .full, device: device)
    return { images, _ in try model(images) }
  }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    try saved(images, quality: quality, subsampling: .full)
  }
}

/// Images as JPEG files hold them.
private func saved(_ images: Tensor, quality: Int, subsampling: ChromaSubsampling) throws -> Tensor {
  let saved = try Image.images(from: images).map {
    try jpegRoundTrip($0, quality: quality, subsampling: subsampling).planes()
  }
  return try Tensor(saved.flatMap { $0 }, shape: images.shape, device: images.device)
}
