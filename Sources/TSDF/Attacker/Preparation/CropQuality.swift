import Kernels
import Pictures

/// What crops are sorted out by.
package struct CropQuality: Codable, Equatable, Sendable {
  /// The difference hash: of the crop averaged to 9 x 8 grey pixels, whether each is darker than the one to its right;
  /// rows from the top, the first in the highest bit.
  package var hash: UInt64
  /// The variance of the Laplacian of the grey crop, of samples 0...255: low where it is blurred.
  package var sharpness: Double

  /// - Parameter crop: 8-bit RGB.
  package init(of crop: Image) throws {
    let grey = CropQuality.grey(crop)
    hash = try CropQuality.differenceHash(grey, width: crop.width, height: crop.height)
    sharpness = CropQuality.laplacianVariance(grey, width: crop.width, height: crop.height)
  }

  /// Bits in which the hashes of two crops differ, 0...64.
  package func distance(to other: CropQuality) -> Int { (hash ^ other.hash).nonzeroBitCount }

  /// The luma of ITU-R BT.601, 0...255.
  private static func grey(_ crop: Image) -> [Float] {
    (0..<crop.width * crop.height).map {
      0.299 * Float(crop.bytes[3 * $0]) + 0.587 * Float(crop.bytes[3 * $0 + 1])
        + 0.114 * Float(crop.bytes[3 * $0 + 2])
    }
  }

  private static func differenceHash(_ grey: [Float], width: Int, height: Int) throws -> UInt64 {
    let small = try Tensor(grey, shape: [1, 1, height, width], device: CPUDevice()).resized(
      height: 8, width: 9, mode: .area
    ).values()
    var hash: UInt64 = 0
    for y in 0..<8 {
      for x in 0..<8 { hash = hash << 1 | (small[9 * y + x] < small[9 * y + x + 1] ? 1 : 0) }
    }
    return hash
  }

  /// Of the kernel 0 1 0, 1 -4 1, 0 1 0; beyond the border pixels are mirrored about it.
  private static func laplacianVariance(_ grey: [Float], width: Int, height: Int) -> Double {
    func mirrored(_ i: Int, _ count: Int) -> Int { i < 0 ? min(1, count - 1) : i < count ? i : max(0, count - 2) }
    var (sum, squares) = (0.0, 0.0)
    for y in 0..<height {
      let (above, below) = (mirrored(y - 1, height) * width, mirrored(y + 1, height) * width)
      for x in 0..<width {
        let beside = grey[y * width + mirrored(x - 1, width)] + grey[y * width + mirrored(x + 1, width)]
        let value = Double(grey[above + x] + grey[below + x] + beside - 4 * grey[y * width + x])
        sum += value
        squares += value * value
      }
    }
    let count = Double(width * height)
    return max(0, squares / count - sum / count * (sum / count))
  }
}
