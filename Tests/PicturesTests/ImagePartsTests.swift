import Kernels
import Pictures
import XCTest

/// Rectangles of pictures brought to a size.
final class ImagePartsTests: XCTestCase {
  /// A picture of random samples.
  private func picture(width: Int, height: Int, channels: Int, bitDepth: Int) -> Image {
    var random = RandomStream(seed: 4)
    let count = width * height * channels * bitDepth / 8
    return Image(
      width: width, height: height, channels: channels, bitDepth: bitDepth,
      bytes: (0..<count).map { _ in UInt8(random.integer(below: 256)) })
  }

  /// The whole at its own size is what `planes()` gives; at another a value is the mean of its area, in every storage: of as many
  /// copies of each pixel as there are values, that of a whole number of them.
  func testMeansOfAreas() throws {
    for (channels, depth) in [(1, 8), (3, 8), (4, 8), (2, 16), (3, 16)] {
      let image = picture(width: 61, height: 47, channels: channels, bitDepth: depth)
      let whole = Box(x0: 0, y0: 0, x1: 61, y1: 47)
      for (a, b) in zip(image.planes(of: whole, height: 47, width: 61), image.planes()) {
        XCTAssertEqual(a, b, accuracy: 1e-6)
      }
      for (height, width) in [(23, 30), (11, 61), (1, 1), (40, 7)] {
        let source = image.planes()
        var expected: [Float] = []
        for channel in 0..<3 {
          for y in 0..<height {
            for x in 0..<width {
              var sum: Float = 0
              for row in y * 47..<(y + 1) * 47 {
                for column in x * 61..<(x + 1) * 61 {
                  sum += source[(channel * 47 + row / height) * 61 + column / width]
                }
              }
              expected.append(sum / (47 * 61))
            }
          }
        }
        let found = image.planes(of: whole, height: height, width: width)
        XCTAssertLessThan(zip(found, expected).map { abs($0 - $1) }.max()!, 1e-4, "\(channels) \(depth) \(height)")
      }
    }
  }

  /// A part between pixels: each value is the mean of what it covers; beyond the picture's edge nothing counts.
  func testPartsBetweenPixels() {
    let image = Image(width: 4, height: 1, channels: 1, bytes: [0, 255, 0, 255])
    // 0.5...2.5: half of 0, all of 255, half of 0; 2.5...4.5: half of 0 and 255.
    let found = image.planes(of: Box(x0: 0.5, y0: 0, x1: 4.5, y1: 1), height: 1, width: 2)
    XCTAssertEqual(found[0], 0, accuracy: 1e-6)
    XCTAssertEqual(found[1], -1 + 2 * (1 / 1.5), accuracy: 1e-6)
  }
}
