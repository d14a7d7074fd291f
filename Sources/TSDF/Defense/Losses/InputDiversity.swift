import Kernels
import Networks

/// Input diversity (Xie et al., CVPR 2019; method section 3): half the time an image is enlarged a little, placed at
/// random on a larger zero canvas and shrunk back, all by nearest neighbours; else it is left as it is. Differentiable.
struct InputDiversity {
  /// The canvas, as a share of the image's side.
  let canvas: Float
  let probability: Float

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    guard random.unit() < probability else { return images }
    let side = images.shape[2]
    let large = Int(Float(side) * canvas)
    let enlarged = side + random.integer(below: max(1, large - side))
    let (top, left) = (random.integer(below: large - enlarged + 1), random.integer(below: large - enlarged + 1))
    return try images.resized(height: enlarged, width: enlarged, mode: .nearest)
      .padded(top: top, bottom: large - enlarged - top, left: left, right: large - enlarged - left)
      .resized(height: side, width: side, mode: .nearest)
  }
}
