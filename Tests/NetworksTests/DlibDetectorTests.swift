import Foundation
import Kernels
import Networks
import Pictures
import TestSupport
import XCTest

/// What dlib's detectors find in real photos: their own boxes and scores, from dlib 20.0.1.
final class DlibDetectorTests: XCTestCase {
  /// First and last columns and rows of a face, which dlib counts in, and its score.
  private typealias Face = (left: Float, top: Float, right: Float, bottom: Float, score: Float)

  private func astronaut(on device: any Device) throws -> (whole: Tensor, cut: Tensor, twice: Tensor) {
    let whole = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image.tensor(on: device)
    let cut = try whole.sliced(axis: 2, 7..<300).sliced(axis: 3, 61..<398)
    return (whole, cut, try Tensor.concatenated([cut, cut], axis: 3))
  }

  private func check(
    _ found: [Detection], _ expected: [Face], accuracy: Float, _ what: String, line: UInt = #line
  ) {
    XCTAssertEqual(
      found.map(\.box), expected.map { Box(x0: $0.left, y0: $0.top, x1: $0.right + 1, y1: $0.bottom + 1) }, what,
      line: line)
    for (face, expected) in zip(found, expected) {
      // A score of 0 is the default threshold; see DlibDetector.
      let score = (log(face.score / (1 - face.score)) - log(0.7 / 0.3)) / 4
      XCTAssertEqual(score, expected.score, accuracy: accuracy, what, line: line)
    }
  }

  func testSuppression() {
    let suppression = DlibSuppression(hull: 0.3, cover: 0.8)
    let box = Box(x0: 0, y0: 0, x1: 10, y1: 10)
    for (other, joins) in [
      // 50 of 150 pixels around both; 20 of 180; 9 of 100, which is most of the other; none.
      (box.shifted(x: 5, y: 0), true), (box.shifted(x: 8, y: 0), false),
      (Box(x0: 0, y0: 0, x1: 3, y1: 3), true), (box.shifted(x: 10, y: 0), false),
      // 25 of 225, though a seventh of their union.
      (box.shifted(x: 5, y: 5), false),
    ] {
      XCTAssertEqual(suppression.joins(box, other), joins, "\(other)")
      XCTAssertEqual(suppression.joins(other, box), joins, "\(other)")
    }
  }

  func testCNN() throws {
    for device in try testDevices() {
      let detector = try loadDetector("dlib-cnn", from: projectURL("models"), on: device)
      let (whole, cut, twice) = try astronaut(on: device)
      func check(_ image: Tensor, _ expected: [Face], line: UInt = #line) throws {
        let found = try detector.detect(image, threshold: defaultDetectionThreshold)
        self.check(found, expected, accuracy: 1e-4, "\(image.shape) on \(device.name)", line: line)
      }
      try check(whole, [(168, 69, 263, 164, 1.06251)])
      try check(cut, [(110, 63, 205, 158, 1.05059)])
      try check(twice, [(446, 63, 541, 158, 1.05712), (110, 63, 205, 158, 1.05272)])
      try check(ImageFile(contentsOf: projectURL("photos/coffee.png")).image.tensor(on: device), [])

      XCTAssertThrowsError(try detector.heads(Tensor(repeating: 0, shape: [1, 3, 30, 7], device: device))) {
        XCTAssertTrue("\($0)".contains("at least 8 pixels a side"), "\($0)")
      }
      let least = try detector.heads(Tensor(repeating: 0, shape: [1, 3, 8, 8], device: device))
      XCTAssertEqual(least.confidence.shape[1], detector.priorBoxes(height: 8, width: 8).count)
    }
  }
}
