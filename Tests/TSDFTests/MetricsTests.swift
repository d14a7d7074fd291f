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
    // Moved by a quarter, boxes overlap by 0.6.
    for (overlap, recall) in [(0.7, 0), (0.5, 100)] as [(Float, Double)] {
      var metrics = DetectionMetrics(overlap: overlap)
      metrics.add(clean: [detection(0)], protected: [detection(2.5)])
      XCTAssertEqual(metrics.recall, recall)
    }
  }

  /// What a variant comes to, and what it makes of the photos.
  private func judge(
    _ photos: [JudgedPhoto], by evaluator: Evaluator, _ variant: ProtectionVariant, attacks: [Purification] = []
  ) throws -> (reports: [VariantReport], protected: [Image]) {
    var sum = EvaluationSum(evaluator.plan([variant], attacks: attacks))
    var protected: [Image] = []
    try evaluator.measure(
      JudgedPhotos(photos), photos.indices, [variant], attacks: attacks, progress: { _, _ in },
      each: { photo, judgement in
        sum.add(photo)
        protected.append(try XCTUnwrap(judgement).protected)
      })
    return (sum.reports, protected)
  }

  /// Where one detector is blind and another is not, any detector finds the face.
  func testAnyDetector() throws {
    let device = try selectDevice().device
    let folder = try TemporaryFolder()
    try folder.write(try Data(contentsOf: projectURL("photos/astronaut.png")), "astronaut.png")
    let photos = try JudgedPhotos.aligned(Dataset(images: folder.url), size: 256).all()
    let names = ["retinaface", "mtcnn"]
    let detectors = try names.map {
      (name: $0, detector: try loadDetector($0, from: projectURL("models"), on: device))
    }
    func report(_ names: [String]) throws -> VariantReport {
      let evaluator = Evaluator(
        generators: [], detectors: detectors.filter { names.contains($0.name) }, seed: 1, device: device)
      let refiner = try Refiner(generators: [], detectors: [detectors[0].detector], goal: .hide, device: device)
      let (universal, _, _) = try loadPerturbation(projectURL("weights/perturbation.safetensors"), on: device)
      var settings = ProtectionSettings()
      (settings.region, settings.refineSteps) = (.image, 60)
      let protector = try Protector(
        perturbation: universal, settings: settings, detectors: [], refiner: refiner, device: device)
      return try judge(photos, by: evaluator, .protector(protector, name: "hidden")).reports[0]
    }
    let both = try report(names)
    XCTAssertEqual(both.detectors.map(\.name), names + [VariantReport.anyDetector])
    XCTAssertEqual(both.detectors.map(\.recall), [0, 100, 100])
    XCTAssertEqual(try report(["retinaface"]).detectors.map(\.name), ["retinaface"])
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

  private func weights(_ name: String, on device: any Device) throws -> StateDictionary {
    try StateDictionary.read(projectURL("models/\(name).safetensors"), on: device).state
  }

  /// On a photo, the values of PyTorch and of dlib itself.
  func testLearnedMetrics() throws {
    let device = try selectDevice().device
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let x = try photo.tensor(on: device)
    let lpips = try LPIPS(weights("lpips", on: device))
    let blurred = try x.resized(height: 128, width: 128).resized(height: 512, width: 512)
    XCTAssertEqual(try lpips(x, blurred).item(), 0.30261, accuracy: 1e-4)
    let mirrored = try photo.upright(from: 2).tensor(on: device)
    XCTAssertEqual(try lpips(x, mirrored).item(), 0.72573, accuracy: 1e-4)

    // dlib 19.24, given the same pixels.
    let face = photo.cropped(x: 150, y: 60, width: 150, height: 150)
    let network = try IdentityNetwork(weights("identity", on: device))
    let a = try network(face.tensor(on: device))
    let b = try network(face.upright(from: 2).tensor(on: device))
    for (found, expected) in zip(try a.values(), [-0.0863414, 0.0667078, 0.0146528, -0.0540023] as [Float]) {
      XCTAssertEqual(found, expected, accuracy: 1e-5)
    }
    XCTAssertEqual(try IdentityNetwork.distances(a, b).item(), 0.291994, accuracy: 1e-4)
    XCTAssertEqual(try IdentityNetwork.similarities(a, b).item(), 0.981771, accuracy: 1e-4)

    // The TorchScript program that Inception's weights were fetched in, given the photo at 299 pixels.
    let features = try InceptionV3(weights("inception", on: device))(x).values()
    for (found, expected) in zip(features, [1.051240, 0.500764, 0.242534, 0.348570] as [Float]) {
      XCTAssertEqual(found, expected, accuracy: 1e-4)
    }
    XCTAssertEqual(features.reduce(0, +) / Float(features.count), 0.354516, accuracy: 1e-4)
  }

  /// One run of the evaluator, which takes long, and all that it must say.
  func testEvaluatorWithLearnedMetrics() throws {
    let device = try selectDevice().device
    let folder = try TemporaryFolder()
    for name in ["astronaut", "coffee"] {
      try folder.write(try Data(contentsOf: projectURL("photos/\(name).png")), "\(name).png")
    }
    let photos = try JudgedPhotos.aligned(Dataset(images: folder.url), size: 64).all()
    let generator = try StarGANGenerator(
      width: 8, blocks: 1, attributes: ["a", "b"], imageSize: 64, seed: 3, device: device)
    let lpips = try LPIPS(weights("lpips", on: device))
    let identity = try IdentityNetwork(weights("identity", on: device))
    let evaluator = Evaluator(
      generators: [("stargan", generator)], detectors: [],
      networks: MetricNetworks(
        inception: try InceptionV3(weights("inception", on: device)), lpips: lpips, identity: identity),
      seed: 1, device: device)
    let same = try judge(photos, by: evaluator, .none).reports[0]
    XCTAssertEqual(same.watermarkLPIPS, 0)
    XCTAssertEqual(same.generators[0].lpips, 0)
    XCTAssertEqual(try XCTUnwrap(same.generators[0].identity), 1, accuracy: 1e-5)
    XCTAssertEqual(try XCTUnwrap(same.generators[0].fid), 0, accuracy: 1e-6)

    var random = RandomStream(seed: 5)
    var settings = ProtectionSettings()
    (settings.region, settings.epsilon) = (.image, 0.1)
    let protector = try Protector(
      perturbation: random.uniform([1, 3, 64, 64], in: -0.1..<0.1, device: device), settings: settings, detectors: [],
      refiner: nil, device: device)
    let (reports, protected) = try judge(
      photos, by: evaluator, .protector(protector, name: "noise"),
      attacks: [
        Purification(PurificationRecipe("jpeg:50@photo"), denoiser: URL(fileURLWithPath: "/nowhere"), on: device)
      ])
    // What the report says is what the networks say of the pictures.
    let originals = try Tensor.concatenated(photos.map { try $0.image.tensor(on: device) }, axis: 0)
    let changed = try Tensor.concatenated(protected.map { try $0.tensor(on: device) }, axis: 0)
    let shown = try lpips(originals, changed).values()
    XCTAssertEqual(try XCTUnwrap(reports[0].watermarkLPIPS), Double(shown[0] + shown[1]) / 2, accuracy: 1e-5)
    XCTAssertGreaterThan(shown[0] + shown[1], 0.001)
    // Uniform in +-0.1 of the 2 wide range has a mean square of 0.01 / 3.
    XCTAssertEqual(reports[0].watermarkPSNR, 30.8, accuracy: 0.5)
    var (distances, cosines): ([Float], [Float]) = ([], [])
    for edit in generator.edits.indices {
      let labels = [[Float]](repeating: photos[0].labels(named: generator.attributes), count: 2)
      let condition = try generator.condition([edit, edit], labels: labels, random: &random, device: device)
      let before = try generator(originals, condition: condition).image.clamped(to: -1...1)
      let after = try generator(changed, condition: condition).image.clamped(to: -1...1)
      distances += try lpips(before, after).values()
      cosines += try IdentityNetwork.similarities(identity(before), identity(after)).values()
    }
    func mean(_ values: [Float]) -> Double { Double(values.reduce(0, +)) / Double(values.count) }
    let report = reports[0].generators[0]
    XCTAssertEqual(try XCTUnwrap(report.lpips), mean(distances), accuracy: 1e-4)
    XCTAssertEqual(try XCTUnwrap(report.identity), mean(cosines), accuracy: 1e-4)
    XCTAssertGreaterThan(mean(distances), 0.001)
    XCTAssertLessThan(mean(cosines), 0.9999)
    XCTAssertGreaterThan(try XCTUnwrap(report.fid), 0.1)
    XCTAssertNotEqual(reports[0].watermarkLPIPS, reports[1].watermarkLPIPS)
    let table = EvaluationTable.text(reports)
    XCTAssertTrue(table.contains("| LPIPS ") && table.contains("| FID ") && table.contains("| identity "), table)
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
