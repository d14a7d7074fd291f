import Foundation
import Kernels
import Pictures

/// What JPEG makes of a picture, on the device and differentiably: luminance and chrominance, the latter at half the size or not, in
/// blocks of 8x8 under the cosine transform, rounded to steps of quantisation. The gradient takes the coefficients that are rounded to
/// zero for constants, and the others as they are. The tables are those of ITU-T T.81, annex K, scaled for a quality as libjpeg
/// does.
package struct JPEGModel {
  private let toYCC: Tensor, toRGB: Tensor
  /// The cosine transform of a block as 64 filters [64, 1, 8, 8], orthonormal.
  private let cosines: Tensor
  /// A step of quantisation, [1, 64, 1, 1], in units of [-1, 1].
  private let luminance: Tensor, chrominance: Tensor
  private let subsampling: ChromaSubsampling

  /// - Parameter quality: 1 to 100.
  package init(quality: Int, subsampling: ChromaSubsampling = .halved, device: any Device) throws {
    self.subsampling = subsampling
    toYCC = try Tensor(
      [0.299, 0.587, 0.114, -0.168736, -0.331264, 0.5, 0.5, -0.418688, -0.081312], shape: [3, 3, 1, 1], device: device)
    toRGB = try Tensor(
      [1, 0, 1.402, 1, -0.344136, -0.714136, 1, 1.772, 0], shape: [3, 3, 1, 1], device: device)
    func cosine(_ frequency: Int, _ place: Int) -> Float {
      cos(Float.pi * (Float(place) + 0.5) * Float(frequency) / 8) * (frequency == 0 ? Float(0.125).squareRoot() : 0.5)
    }
    cosines = try Tensor(
      (0..<64).flatMap { f in (0..<64).map { cosine(f / 8, $0 / 8) * cosine(f % 8, $0 % 8) } }, shape: [64, 1, 8, 8],
      device: device)
    func steps(_ table: [Int]) throws -> Tensor {
      let scale = quality < 50 ? 5000 / quality : 200 - 2 * quality
      let steps = table.map { min(max(($0 * scale + 50) / 100, 1), 255) }
      return try Tensor(steps.map { Float($0) / 127.5 }, shape: [1, 64, 1, 1], device: device)
    }
    luminance = try steps(Self.luminanceTable)
    chrominance = try steps(Self.chrominanceTable)
  }

  private let middle: Float = 0.5 / 127.5

  /// - Parameter images: [N, 3, H, W] in [-1, 1], of any size.
  package func callAsFunction(_ images: Tensor) throws -> Tensor {
    let (height, width) = (images.shape[2], images.shape[3])
    let (bottom, right) = ((16 - height % 16) % 16, (16 - width % 16) % 16)
    let ycc = try images.padded(top: 0, bottom: bottom, left: 0, right: right).convolved(with: toYCC)
    // Samples are counted from 128, the middle of our range is 127.5.
    let y = try quantized(ycc.sliced(axis: 1, 0..<1) - middle, luminance) + middle
    let colours = try ycc.sliced(axis: 1, 1..<3)
    let c =
      try subsampling == .full
      ? quantized(colours, chrominance)
      : quantized(colours.averagePooled(size: 2), chrominance).resized(height: ycc.shape[2], width: ycc.shape[3])
    return try Tensor.concatenated([y, c], axis: 1).convolved(with: toRGB)
      .sliced(axis: 2, 0..<height).sliced(axis: 3, 0..<width)
  }

  /// Planes [N, C, H, W] with their coefficients rounded.
  private func quantized(_ planes: Tensor, _ steps: Tensor) throws -> Tensor {
    let (count, side) = (planes.shape[0] * planes.shape[1], Array(planes.shape[2...]))
    let coefficients = try planes.reshaped([count, 1] + side).convolved(with: cosines, stride: 8)
    let levels = try (coefficients.detached() / steps).rounded()
    let rounded = try (coefficients * (1 - levels.mask(within: 0...0))).withValues(of: levels * steps)
    return try rounded.transposeConvolved(with: cosines, stride: 8).reshaped(planes.shape)
  }

  private static let luminanceTable = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
  ]
  private static let chrominanceTable = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99,
  ]
}
