import Kernels
import Networks
import Pictures

/// Pictures of stripes, each of another phase, with the attributes A and not B.
func smallFaces(_ count: Int, size: Int) -> FaceSet {
  let images = (0..<count).map { n in
    Image(
      width: size, height: size, channels: 3,
      bytes: (0..<3 * size * size).map { UInt8(($0 * 7 + n * 31 + $0 / (3 * size) * 5) % 256) })
  }
  return FaceSet(images: images, attributes: ["A", "B"], labels: images.map { _ in [1, 0] })
}

/// A generator of 32x32 pixels with random weights.
func smallGenerator(on device: any Device) throws -> StarGANGenerator {
  try StarGANGenerator(
    width: 4, blocks: 1, attributes: ["A", "B"], imageSize: 32, seed: 3, device: device)
}
