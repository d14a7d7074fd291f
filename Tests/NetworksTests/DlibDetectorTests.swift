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

  /// What is found in the astronaut, in a cut of odd extents, and in two of these side by side; in a cup, nothing.
  private func check(
    _ name: String, whole: [Face], cut: [Face], twice: [Face], accuracy: Float, leastSide: Int, line: UInt = #line
  ) throws {
    for device in try testDevices() {
      let detector = try loadDetector(name, from: projectURL("models"), on: device)
      func check(_ image: Tensor, _ expected: [Face]) throws {
        let found = try detector.detect(image, threshold: defaultDetectionThreshold)
        let what = "\(name), \(image.shape) on \(device.name)"
        XCTAssertEqual(
          found.map(\.box), expected.map { Box(x0: $0.left, y0: $0.top, x1: $0.right + 1, y1: $0.bottom + 1) }, what,
          line: line)
        for (face, expected) in zip(found, expected) {
          // A score of 0 is the default threshold; see DlibDetector.
          let score = (log(face.score / (1 - face.score)) - log(0.7 / 0.3)) / 4
          XCTAssertEqual(score, expected.score, accuracy: accuracy, what, line: line)
        }
      }
      let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image.tensor(on: device)
      let part = try photo.sliced(axis: 2, 7..<300).sliced(axis: 3, 61..<398)
      try check(photo, whole)
      try check(part, cut)
      try check(Tensor.concatenated([part, part], axis: 3), twice)
      try check(ImageFile(contentsOf: projectURL("photos/coffee.png")).image.tensor(on: device), [])

      let small = try Tensor(repeating: 0, shape: [1, 3, leastSide, leastSide], device: device)
      XCTAssertEqual(
        try detector.heads(small).confidence.shape[1],
        detector.priorBoxes(height: leastSide, width: leastSide).count, line: line)
      XCTAssertThrowsError(try detector.heads(small.sliced(axis: 3, 1..<leastSide))) {
        XCTAssertTrue("\($0)".contains("at least \(leastSide) pixels a side"), "\($0)", line: line)
      }
    }
  }

  func testCNN() throws {
    try check(
      "dlib-cnn", whole: [(168, 69, 263, 164, 1.06251)], cut: [(110, 63, 205, 158, 1.05059)],
      twice: [(446, 63, 541, 158, 1.05712), (110, 63, 205, 158, 1.05272)], accuracy: 1e-4, leastSide: 8)
  }

  func testHOG() throws {
    try check(
      "dlib-hog", whole: [(179, 83, 266, 170, 1.53412)], cut: [(121, 74, 208, 160, 1.47738)],
      twice: [(458, 74, 544, 160, 1.57620), (121, 74, 208, 160, 1.39906)], accuracy: 1e-3, leastSide: 20)
  }

  /// Levels of the pyramid that nothing is asked of are left out.
  func testMarginsOfSomeLevels() throws {
    let device = try selectDevice().device
    let detector = try loadDetector("dlib-hog", from: projectURL("models"), on: device)
    var random = RandomStream(seed: 61)
    let image = try random.uniform([1, 3, 110, 121], in: -1..<1, device: device)
    let all = try detector.heads(image).margins().values()
    let priors = detector.priorBoxes(height: image.shape[2], width: image.shape[3])
    // The windows of the second level, 73 pixels a side, are 87 or 88 in the image.
    let relevant = priors.map { (87...88).contains($0.width) && $0.x0 > 0 }
    XCTAssertTrue(relevant.contains(true))
    let some = try detector.margins(image, where: relevant).values()
    for (i, isRelevant) in relevant.enumerated() where isRelevant { XCTAssertEqual(some[i], all[i]) }
    XCTAssertGreaterThan(zip(some, all).count { $0 == 0 && $1 != 0 }, relevant.count / 3)
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
}
