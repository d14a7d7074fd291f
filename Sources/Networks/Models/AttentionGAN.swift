import Kernels

/// AttentionGAN for several attributes (Tang, Liu, Xu, Torr, Sebe, IEEE TNNLS 2021): StarGAN's network with four output
/// channels. The first, through a sigmoid, is the attention that says where the other three, the content, replace the
/// image.
public struct AttentionGANGenerator: StarGANFamily {
  public static let name = "attentiongan"
  public static let outputs = 4

  public var backbone: StarGANBackbone
  public let attributes: [String]
  public let imageSize: Int

  public init(backbone: StarGANBackbone, attributes: [String], imageSize: Int) {
    (self.backbone, self.attributes, self.imageSize) = (backbone, attributes, imageSize)
  }

  public func image(_ output: Tensor, of images: Tensor) throws -> Tensor {
    let attention = try output.sliced(axis: 1, 0..<1).sigmoid()
    return try images + attention * (output.sliced(axis: 1, 1..<4) - images)
  }
}

@available(*, unavailable)
extension AttentionGANGenerator: Sendable {}
