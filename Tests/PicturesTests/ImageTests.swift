import Foundation
import Kernels
import Pictures
import XCTest

/// Pictures that are moved.
final class ImageTests: XCTestCase {
  /// Grey that is stored as equal colours stays grey; where one pixel has a colour, colours move for themselves.
  func testGreyStaysGrey() {
    let count = 30
    let delta = (0..<3 * count).map { Float($0 % 7 - 3) / 100 * Float(1 + $0 / count) }
    for (channels, depth) in [(3, 8), (4, 8), (3, 16), (4, 16)] {
      let samples = (0..<count).flatMap { i in (0..<channels).map { $0 == 3 ? 9 : 100 + i } }
      let bytes = samples.flatMap { depth == 8 ? [UInt8($0)] : [UInt8($0), UInt8($0)] }
      let grey = Image(width: count, height: 1, channels: channels, bitDepth: depth, bytes: bytes)
      XCTAssertTrue(grey.isNeutral)
      let moved = grey.adding(delta, budget: 0.1)
      XCTAssertNotEqual(moved.bytes, grey.bytes)
      XCTAssertTrue(moved.isNeutral)
      // By the mean of the three.
      let mean = (delta[1] + delta[1 + count] + delta[1 + 2 * count]) / 3
      XCTAssertEqual(moved.planes()[1] - grey.planes()[1], mean, accuracy: 1 / 255)
      var colored = grey
      colored.bytes[depth / 8 - 1] ^= 2
      XCTAssertTrue(colored.isNeutral, "but for rounding")
      colored.bytes[depth / 8 - 1] ^= 8
      XCTAssertFalse(colored.isNeutral)
      XCTAssertFalse(colored.adding(delta, budget: 0.1).isNeutral)
    }
  }
}
