import Foundation
import Kernels
import Networks
import TestSupport
import XCTest

/// Whole networks against PyTorch's float64: outputs and input gradients, on every device present.
final class ModelGoldenTests: XCTestCase {
  private func image(_ shape: Shape, seed: UInt64, on device: any Device) throws -> Tensor {
    var random = RandomStream(seed: seed)
    return try random.uniform(shape, in: -1..<1, device: device).requiringGradient()
  }

  /// Compares outputs (at the golden's stride) and the gradient of mean(first^2) with respect to x.
  private func check(
    _ name: String, _ golden: Safetensors, x: Tensor, outputs: [(name: String, value: Tensor)],
    gradientTolerance: Double = 1e-2
  ) throws {
    func compare(_ part: String, _ found: Tensor, _ tolerance: Double) throws {
      let expected = try golden.values(of: "\(name)/\(part)")
      let all = try found.values()
      let stride = (all.count + expected.count - 1) / expected.count
      let sampled = Swift.stride(from: 0, to: all.count, by: stride).map { all[$0] }
      let error = relativeError(sampled, expected)
      XCTAssertTrue(error < tolerance, "\(name)/\(part) on \(x.device.name): relative error \(error)")
    }
    for (part, value) in outputs { try compare(part, value, 1e-3) }
    let gradient = try gradients(of: outputs[0].value.squared().mean(), withRespectTo: [x])[0]
    try compare("x.grad", gradient, gradientTolerance)
  }

  /// A detector's heads and features by the names of their goldens.
  private static func outputs(_ heads: DetectorHeads) -> [(name: String, value: Tensor)] {
    [("conf", heads.confidence), ("loc", heads.location)]
      + heads.features.enumerated().map { ("feature\($0 + 1)", $1) }
  }

  func testStarGAN() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    for device in try testDevices() {
      for (name, size, width, blocks, batch) in [("stargan-256", 256, 64, 6, 1), ("stargan-small", 36, 8, 2, 3)] {
        let generator = try StarGANGenerator(
          width: width, blocks: blocks, attributes: ["a", "b", "c", "d", "e"], imageSize: size, seed: 11,
          device: device)
        let x = try image([batch, 3, size, size], seed: 7, on: device)
        let c = try Tensor((0..<batch).flatMap { _ in [1, 0, 1, 0, 0] as [Float] }, shape: [batch, 5], device: device)
        let made = try generator(x, condition: Condition(c))
        try check(name, golden, x: x, outputs: [("y", made.image), ("feature", made.feature)])
      }
    }
  }

  func testDetectors() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    let models = projectURL("models")
    for device in try testDevices() {
      let retinaface = try loadDetector("retinaface", from: models, on: device)
      let x = try image([1, 3, 97, 131], seed: 21, on: device)
      let heads = try retinaface.heads(x)
      try check("retinaface", golden, x: x, outputs: Self.outputs(heads))
      XCTAssertEqual(retinaface.priorBoxes(height: 97, width: 131).count, heads.confidence.shape[1])

      let centerface = try loadDetector("centerface", from: models, on: device)
      let pair = try image([2, 3, 57, 75], seed: 33, on: device)
      let found = try centerface.heads(pair)
      try check("centerface", golden, x: pair, outputs: Self.outputs(found))

      for (name, isSmall) in [("yunet", false), ("yunet-small", true)] {
        let yunet = try YuNet(seed: 13, isSmall: isSmall, device: device)
        let x = try image([2, 3, 97, 131], seed: 37, on: device)
        try check(name, golden, x: x, outputs: Self.outputs(yunet.heads(x)))
      }

      for hasFields in [false, true] {
        let ultralight = try UltraLight(seed: 13, hasFields: hasFields, device: device)
        let x = try image([2, 3, 97, 131], seed: 39, on: device)
        // Rectifiers' kinks put PyTorch's own single precision as far off.
        try check(
          ultralight.modelName, golden, x: x, outputs: Self.outputs(ultralight.heads(x)), gradientTolerance: 2e-2)
      }

      for name in BlazeFace.names {
        let detector = try loadDetector(name, from: models, on: device)
        XCTAssertEqual(detector.modelName, name)
        // Wider than high by an odd number.
        let x = try image([1, 3, 150, 203], seed: 35, on: device)
        try check(name, golden, x: x, outputs: Self.outputs(detector.heads(x)))
      }

      let mtcnn = try loadDetector("mtcnn", from: models, on: device) as! MTCNN
      for (net, shape) in [("pnet", [2, 3, 37, 52]), ("rnet", [3, 3, 24, 24]), ("onet", [2, 3, 48, 48])] {
        let x = try image(shape, seed: 31, on: device)
        let made = try mtcnn.forward(net, x)
        try check("mtcnn-\(net)", golden, x: x, outputs: [("conf", made.logits), ("loc", made.offsets)])
      }
    }
  }

  func testDlibDetectors() throws {
    let golden = try Safetensors(contentsOf: goldenURL("dlib"))
    for device in try testDevices() {
      for name in ["dlib-cnn", "dlib-hog"] {
        let detector = try loadDetector(name, from: projectURL("models"), on: device)
        let x = try image([2, 3, 97, 131], seed: 51, on: device)
        let heads = try detector.heads(x)
        let features = heads.features.enumerated().map { ("feature\($0 + 1)", $1) }
        try check(name, golden, x: x, outputs: [("conf", heads.confidence)] + features)
        // A prior is the box.
        let boxes = try detector.decodedBoxes(heads.location, height: 97, width: 131).values()
        let priors = detector.priorBoxes(height: 97, width: 131)
        XCTAssertEqual(
          Array(boxes.prefix(4 * priors.count)), priors.flatMap { [$0.centerX, $0.centerY, $0.width, $0.height] })
      }
    }
  }

  /// Official checkpoints as PyTorch writes them: nested, averaged weights beside others, counts of batches; then the
  /// networks that they hold.
  func testCheckpoints() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    for device in try testDevices() {
      for name in ["attentiongan", "attgan", "hisd"] {
        let generator = try loadGenerator(
          projectURL("Tests/Goldens/checkpoints/\(name).pth"), named: name, on: device)
        let x = try image([2, 3, 24, 32], seed: 27, on: device)
        let on: Float = name == "attgan" ? 0.5 : 1
        let inputs = [
          "c": try Tensor([on, on - 1, on, on - 1], shape: [2, 2], device: device),
          "reference": try image([2, 3, 24, 32], seed: 28, on: device).detached(),
        ]
        let made = try generator(x, condition: generator.condition(from: { inputs[$0]! }, tag: 1))
        try check(name, golden, x: x, outputs: [("y", made.image), ("feature", made.feature)])
        // What it writes, it reads.
        let copy = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).safetensors")
        defer { try? FileManager.default.removeItem(at: copy) }
        try generator.write(to: copy)
        let again = try loadGenerator(copy, on: device)
        XCTAssertEqual(again.edits, generator.edits)
        let second = try again(x.detached(), condition: again.condition(from: { inputs[$0]! }, tag: 1)).image
        XCTAssertEqual(try second.values(), try made.image.values(), name)
      }
    }
  }

  func testVGGDetectors() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    for device in try testDevices() where !(device is CPUDevice) {
      for (name, detector) in try [
        ("s3fd", S3FD(seed: 13, device: device)), ("dsfd", DSFD(seed: 13, device: device)),
      ] as [(String, any FaceDetector)] {
        let x = try image([1, 3, 68, 92], seed: 23, on: device)
        let heads = try detector.heads(x)
        try check(name, golden, x: x, outputs: Self.outputs(heads), gradientTolerance: 2e-2)
      }
    }
  }

  private func fetched(_ name: String, on device: any Device) throws -> StateDictionary {
    try StateDictionary.read(projectURL("models/\(name).safetensors"), on: device).state
  }

  func testLPIPS() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    for device in try testDevices() {
      let lpips = try LPIPS(fetched("lpips", on: device))
      let x = try image([2, 3, 64, 71], seed: 41, on: device)
      let y = try image([2, 3, 64, 71], seed: 42, on: device).detached()
      try check("lpips", golden, x: x, outputs: [("distance", lpips(x, y))])
      XCTAssertEqual(try lpips(y, y).values(), [0, 0])
      // Where nothing is found, the gradient is a number still.
      let flat = try Tensor(repeating: 0.1, shape: [1, 3, 40, 40], device: device).requiringGradient()
      let other = try image([1, 3, 40, 40], seed: 45, on: device).detached()
      let gradient = try gradients(of: lpips(flat, other).sum(), withRespectTo: [flat])[0].values()
      XCTAssertTrue(gradient.allSatisfy(\.isFinite))
      XCTAssertThrowsError(try lpips(flat, y.sliced(axis: 2, 0..<30)))
    }
    XCTAssertThrowsError(try LPIPS(fetched("mtcnn", on: CPUDevice()))) {
      XCTAssertTrue("\($0)".contains("no tensor named features.0.weight"), "\($0)")
    }
  }

  func testIdentity() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    for device in try testDevices() {
      let network = try IdentityNetwork(fetched("identity", on: device))
      let x = try image([2, 3, 97, 83], seed: 43, on: device)
      let embeddings = try network(x)
      XCTAssertEqual(embeddings.shape, [2, IdentityNetwork.embeddingCount])
      try check("identity", golden, x: x, outputs: [("embedding", embeddings)])
      let a = try Tensor([3, 4, 1, 0], shape: [2, 2], device: device)
      let b = try Tensor([4, 3, 0, -2], shape: [2, 2], device: device)
      for (found, expected) in [
        (try IdentityNetwork.similarities(a, b), [0.96, 0]),
        (try IdentityNetwork.distances(a, b), [Float(2).squareRoot(), Float(5).squareRoot()]),
      ] as [(Tensor, [Float])] { XCTAssertLessThan(relativeError(try found.values(), expected), 1e-6) }
    }
  }

  func testPublishedInception() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    let device = try selectDevice().device
    let inception = try InceptionV3(fetched("inception", on: device))
    let all = try inception(image([1, 3, 75, 61], seed: 44, on: device).detached()).values()
    let sampled = stride(from: 0, to: all.count, by: 3).map { all[$0] }
    XCTAssertLessThan(relativeError(sampled, try golden.values(of: "inception-published/features")), 1e-4)
  }

  func testFrechetInceptionDistance() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    let device = try selectDevice().device
    let features = try InceptionV3(seed: 19, device: device)(image([2, 3, 75, 61], seed: 29, on: device).detached())
    XCTAssertEqual(features.shape, [2, InceptionV3.featureCount])
    let all = try features.values()
    let sampled = stride(from: 0, to: all.count, by: 3).map { all[$0] }
    XCTAssertLessThan(relativeError(sampled, try golden.values(of: "inception/features")), 1e-4)

    var random = RandomStream(seed: 30)
    let a = try random.uniform([7, 5], device: device).values()
    let b = try random.uniform([9, 5], in: 0.25..<1.75, device: device).values()
    func rows(_ values: [Float]) -> [[Float]] {
      stride(from: 0, to: values.count, by: 5).map { Array(values[$0..<$0 + 5]) }
    }
    let expected = Double(try golden.values(of: "frechet")[0])
    XCTAssertEqual(frechetDistance(rows(a), rows(b)), expected, accuracy: 1e-5)
    XCTAssertEqual(frechetDistance(rows(a), rows(a)), 0, accuracy: 1e-9)
    XCTAssertTrue(frechetDistance([[1, 2], [3, 4]], [[1], [2]]).isNaN)
  }

  func testPriorsMatchHeads() throws {
    let device = try selectDevice().device
    var detectors = try fetchedDetectorNames.map {
      ($0, try loadDetector($0, from: projectURL("models"), on: device))
    }
    detectors.append(("s3fd", try S3FD(seed: 1, device: device)))
    detectors.append(("yunet", try YuNet(seed: 1, isSmall: true, device: device)))
    detectors.append(("ultralight", try UltraLight(seed: 1, hasFields: true, device: device)))
    for (name, detector) in detectors {
      for (height, width) in [(64, 64), (97, 131), (200, 60)] {
        let x = try Tensor(repeating: 0, shape: [1, 3, height, width], device: device)
        let heads = try detector.heads(x)
        XCTAssertEqual(
          heads.confidence.shape[1], detector.priorBoxes(height: height, width: width).count,
          "\(name) at \(height)x\(width)")
        XCTAssertEqual(
          try detector.decodedBoxes(heads.location, height: height, width: width).shape, heads.location.shape)
      }
    }
  }
}
