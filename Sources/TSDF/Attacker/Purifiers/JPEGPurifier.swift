import Kernels
import Pictures

/// A JPEG file of a quality, colours at half size, as cameras and sites write them.
struct JPEGPurifier: JPEGFilePurifier {
  static let name = "jpeg"
  static let subsampling = ChromaSubsampling.halved
  static let augmentation: ClosedRange<Float>? = 30...95

  let quality: Int
}

/// The same with colours at full size.
struct FullJPEGPurifier: JPEGFilePurifier {
  static let name = "jpeg444"
  static let subsampling = ChromaSubsampling.full
  static let augmentation: ClosedRange<Float>? = nil

  let quality: Int
}

/// Images as JPEG files hold them. Through the codec itself, so it has no gradient; `JPEGModel` has one.
protocol JPEGFilePurifier: Purifier {
  static var subsampling: ChromaSubsampling { get }

  var quality: Int { get }
  init(quality: Int)
}

extension JPEGFilePurifier {
  static var strengths: ClosedRange<Float> { 1...100 }
  static var takesWholeNumbers: Bool { true }

  init(_ strength: Float) { self.init(quality: Int(strength)) }

  func differentiable(on device: any Device) throws -> DifferentiablePurifier {
    let model = try JPEGModel(quality: quality, subsampling: Self.subsampling, device: device)
    return { images, _ in try model(images) }
  }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    let saved = try Image.images(from: images).map {
      try jpegRoundTrip($0, quality: quality, subsampling: Self.subsampling).planes()
    }
    return try Tensor(saved.flatMap { $0 }, shape: images.shape, device: images.device)
  }
}
