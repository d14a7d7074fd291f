import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

final class MetricsTests: XCTestCase {
  func testPSNRAndSSIM() {
    let area = 16 * 12
    let a = (0..<3 * area).map { Float(($0 * 37) % 101) / 50 - 1 }
    XCTAssertEqual(psnr(a, a), .infinity)
    XCTAssertEqual(ssim(a, a, height: 12, width: 16), 1, accuracy: 1e-12)
    // A shift by 0.2 of the 2 wide range is 0.1 on [0, 1]: exactly 20 dB.
    XCTAssertEqual(psnr(a.map { $0 + 0.2 }, a), 20, accuracy: 1e-4)
    // scikit-image 0.26: structural_similarity(win_size=3, channel_axis=0, data_range=b.max() - b.min()).
    let b = (0..<3 * area).map { i -> Float in
      let step = (i * 53 + i / 7) % 97
      return Float(step) / 48.5 - 1
    }
    XCTAssertEqual(ssim(a, b, height: 12, width: 16), 0.027199050761651456, accuracy: 1e-6)
  }

  /// Of pictures, the figures are those of their planes; a sample of rows comes close.
  func testPicturesQuality() {
    let (width, height) = (37, 90)
    let a = Image(
      width: width, height: height, channels: 3,
      bytes: (0..<3 * width * height).map { UInt8(($0 * 29 + $0 / 37) % 200) })
    let moves = a.bytes.indices.map { Int16(($0 * 7 + $0 / 11) % 113 - 50) }
    let (b, noise) = a.moved(by: moves)
    XCTAssertEqual(b.bytes, zip(a.bytes, moves).map { UInt8(max(0, min(255, Int($0) + Int($1)))) })
    XCTAssertEqual(noise, psnr(a.planes(), b.planes()), accuracy: 1e-4)
    XCTAssertEqual(a.moved(by: moves.map { _ in 0 }).psnr, .infinity)
    let whole = ssim(a.planes(), b.planes(), height: height, width: width, range: 1)
    XCTAssertEqual(sampledSSIM(a, b, rows: 1000), whole, accuracy: 1e-9)
    XCTAssertEqual(sampledSSIM(a, b), whole, accuracy: 0.01)
    XCTAssertNotEqual(whole, 1, accuracy: 0.001)
  }

  func testInterruption() {
    let area = 4
    let zero = [Float](repeating: 0, count: 3 * area)
    var edit = zero
    for channel in 0..<3 { edit[channel * area] = 0.3 }  // one pixel changes by 0.9 over the channels
    var broken = edit
    for channel in 0..<3 { broken[channel * area] += 0.4 }
    for channel in 0..<3 { broken[channel * area + 1] += 5 }  // outside the mask: does not count
    var metrics = InterruptionMetrics()
    metrics.add(original: zero, edit: edit, protectedEdit: broken, height: 2, width: 2)
    metrics.add(original: zero, edit: edit, protectedEdit: edit, height: 2, width: 2)
    metrics.add(original: zero, edit: zero, protectedEdit: broken, height: 2, width: 2)
    XCTAssertEqual(metrics.count, 2)
    XCTAssertEqual(metrics.emptyMasks, 1)
    XCTAssertEqual(metrics.l2Mask, 0.08, accuracy: 1e-6)
    XCTAssertEqual(metrics.successRate, 0.5)
  }

  private func detection(_ x: Float, score: Float = 0.9) -> Detection {
    Detection(box: Box(x0: x, y0: 0, x1: x + 10, y1: 10), score: score, landmarks: [])
  }

  func testDetection() {
    var metrics = DetectionMetrics()
    // One of two found again, one invented; a box below the threshold is none.
    metrics.add(
      clean: [detection(0), detection(100)], protected: [detection(1), detection(50), detection(100, score: 0.6)])
    XCTAssertEqual(metrics.precision, 50)
    XCTAssertEqual(metrics.recall, 50)
    XCTAssertEqual(metrics.duq, 0)
    // Hidden altogether: precision counts as 1, recall 0.
    metrics.add(clean: [detection(0)], protected: [])
    XCTAssertEqual(metrics.precision, 75)
    XCTAssertEqual(metrics.recall, 25)
    XCTAssertEqual(metrics.f1, 37.5)
    // No face in the clean image, one invented.
    metrics.add(clean: [], protected: [detection(0)])
    XCTAssertEqual(metrics.withoutFace, 1)
    XCTAssertEqual(metrics.duq, -1.0 / 3, accuracy: 1e-9)
    XCTAssertEqual(metrics.boxCountChange, 0, accuracy: 1e-9)
  }

  func testBoxes() {
    let a = Box(x0: 0, y0: 0, x1: 10, y1: 10)
    XCTAssertEqual(a.iou(Box(x0: 5, y0: 0, x1: 15, y1: 10)), 1.0 / 3, accuracy: 1e-6)
    XCTAssertEqual(a.iou(Box(x0: 20, y0: 0, x1: 30, y1: 10)), 0)
    let boxes = [a, Box(x0: 1, y0: 0, x1: 11, y1: 10), Box(x0: 40, y0: 0, x1: 50, y1: 10)]
    XCTAssertEqual(nonMaximumSuppression(boxes, scores: [0.8, 0.9, 0.3], threshold: 0.5), [1, 2])
    XCTAssertEqual(
      nonMaximumSuppression(
        [a, Box(x0: 2, y0: 2, x1: 6, y1: 6)], scores: [0.9, 0.8], threshold: 0.7, overlap: .minimum), [0])
  }

  func testIntensitySeparation() throws {
    let device = CPUDevice()
    let w = try Tensor([0, 0.02, -0.039, 0.04, -0.05], shape: [5], device: device)
    let mask = try intensitySeparationMask(w).values()
    for (found, expected) in zip(mask, [1, exp(-0.1), exp(-0.195), 0, 0] as [Float]) {
      XCTAssertEqual(found, expected, accuracy: 1e-6)
    }
  }

  func testMalformedSafetensors() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tsdf-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    func file(_ header: String, length: UInt64? = nil, body: Int = 8) throws -> URL {
      var count = (length ?? UInt64(header.utf8.count)).littleEndian
      let url = folder.appendingPathComponent("\(UUID().uuidString).safetensors")
      try (Data(bytes: &count, count: 8) + Data(header.utf8) + Data(repeating: 0, count: body)).write(to: url)
      return url
    }
    let good = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
    XCTAssertEqual(try Safetensors(contentsOf: file(good)).values(of: "a"), [0, 0])
    let half = #"{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}"#
    XCTAssertEqual(try Safetensors(contentsOf: file(half)).values(of: "a"), [0, 0, 0, 0])
    for (header, length, body, message) in [
      (good, nil, 4, "truncated"), (good, 1 << 40, 8, "header claims"), ("[]", nil, 8, "not a JSON object"),
      (#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, nil, 8, "needs 12"),
      (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, nil, 8, "impossible shape"),
      (#"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}"#, nil, 8, "impossible shape"),
      (#"{"a":{"shape":[2]}}"#, nil, 8, "malformed"),
    ] as [(String, UInt64?, Int, String)] {
      XCTAssertThrowsError(try Safetensors(contentsOf: file(header, length: length, body: body))) {
        XCTAssertTrue("\($0)".contains(message), "\($0)")
      }
    }
    let integers = try Safetensors(contentsOf: file(#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#))
    XCTAssertThrowsError(try integers.values(of: "a")) { XCTAssertTrue("\($0)".contains("I64"), "\($0)") }
    XCTAssertThrowsError(try integers.values(of: "b")) { XCTAssertTrue("\($0)".contains("no tensor named b"), "\($0)") }
  }

  /// The fetched networks: nothing between a picture and itself, more the more it changes; the same person in a darker picture, not in
  /// another's.
  func testMetricNetworks() throws {
    let device = try selectDevice().device
    func state(_ name: String) throws -> StateDictionary {
      try StateDictionary.read(projectURL("models/\(name).safetensors"), on: device).state
    }
    let (lpips, identity) = (try LPIPS(state("lpips")), try IdentityNetwork(state("identity")))
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let face = try photo.cropped(x: 160, y: 60, width: 140, height: 140).tensor(on: device)
    var random = RandomStream(seed: 1)
    let noise = try random.normal(face.shape, device: device)
    let distances = try [0, 0.05, 0.2].map { try lpips(face, face + noise * $0).item() }
    XCTAssertEqual(distances[0], 0)
    XCTAssertGreaterThan(distances[1], 0.01)
    XCTAssertGreaterThan(distances[2], 2 * distances[1])
    let darker = try identity(face * 0.8 - 0.1)
    let other = try identity(photo.cropped(x: 300, y: 300, width: 140, height: 140).tensor(on: device))
    XCTAssertLessThan(try IdentityNetwork.distances(identity(face), darker).item(), 0.3)
    XCTAssertGreaterThan(try IdentityNetwork.distances(identity(face), other).item(), 0.6)
    XCTAssertGreaterThan(
      try IdentityNetwork.similarities(identity(face), darker).item(),
      try IdentityNetwork.similarities(identity(face), other).item())
  }

  /// The bootstrap's interval holds the mean, is the same every time, and is narrower for more values.
  func testBootstrap() throws {
    XCTAssertNil(bootstrap([[nil, nil], []]))
    let same = try XCTUnwrap(bootstrap([[2, 2], [2, nil]]))
    XCTAssertEqual([same.mean, same.low, same.high, Double(same.count)], [2, 2, 2, 3])
    var random = RandomStream(seed: 3)
    func groups(_ count: Int) -> [[Double?]] { (0..<3).map { _ in (0..<count).map { _ in Double(random.unit()) } } }
    let (few, many) = (groups(10), groups(400))
    let (wide, narrow) = (try XCTUnwrap(bootstrap(few)), try XCTUnwrap(bootstrap(many)))
    XCTAssertEqual(bootstrap(few), wide)
    XCTAssertTrue(wide.low < wide.mean && wide.mean < wide.high)
    XCTAssertLessThan(narrow.high - narrow.low, 0.5 * (wide.high - wide.low))
    XCTAssertEqual(narrow.mean, 0.5, accuracy: 0.03)
    // The deviation of uniform values is 0.289. Of 1,200 of one kind the interval were 0.033; three groups may differ, so it is wider.
    XCTAssertGreaterThan(narrow.high - narrow.low, 0.033)
    XCTAssertLessThan(narrow.high - narrow.low, 0.1)
  }
}
