import Kernels

/// AttentionGAN for several attributes (Tang, Liu, Xu, Torr, Sebe, IEEE TNNLS 2021): StarGAN's network with four output
/// channels. The first, through a sigmoid, is the attention that says where the other three, the content, replace the
/// image.
package struct AttentionGANGenerator: StarGANFamily {
  package static let name = "attentiongan"
  package static let outputs = 4

  package var backbone: StarGANBackbone
  package let attributes: [String]
  package let imageSize: Int

  package init(backbone: StarGANBackbone, attributes: [String], imageSize: Int) {
    (self.backbone, self.attributes, self.imageSize) = (backbone, attributes, imageSize)
  }

  package func image(_ output: Tensor, of images: Tensor) throws -> Tensor {
    let attention = try output.sliced(axis: 1, 0..<1).sigmoid()
    return try images + attention * (output.sliced(axis: 1, 1..<4) - images)
  }
}

@available(*, unavailable)
extension AttentionGANGenerator: Sendable {}
