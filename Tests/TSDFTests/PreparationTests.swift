import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage
import TSDF
import TestSupport
import XCTest

/// What an attacker does with photos before training: the parts that `tsdf prepare` is made of.
final class PreparationTests: XCTestCase {
  private let folder = try! TemporaryFolder()

  private func turned(_ degrees: Float, scale: Float = 1, tx: Float = 0, ty: Float = 0) -> SimilarityTransform {
    var transform = SimilarityTransform(square: Box(x0: 0, y0: 0, x1: 1, y1: 1), side: 1)
    let angle = degrees * .pi / 180
    (transform.a, transform.b) = (scale * Foundation.cos(angle), scale * Foundation.sin(angle))
    (transform.tx, transform.ty) = (tx, ty)
    return transform
  }

  private func image(_ width: Int, _ height: Int, _ color: (Int, Int) -> [UInt8]) -> Image {
    let bytes = (0..<height).flatMap { y in (0..<width).flatMap { x in color(x, y) } }
    return Image(width: width, height: height, channels: bytes.count / width / height, bytes: bytes)
  }

  // MARK: Alignment

  func testSimilarityIsTheBest() throws {
    let points = FaceAlignment.template(margin: 1.5, size: 100)
    let truth = turned(33, scale: 0.7, tx: -12, ty: 40)
    let exact = try XCTUnwrap(SimilarityTransform(from: points, to: points.map { truth($0) }))
    for (found, value) in [(exact.a, truth.a), (exact.b, truth.b), (exact.tx, truth.tx), (exact.ty, truth.ty)] {
      XCTAssertEqual(found, value, accuracy: 1e-3)
    }
    XCTAssertEqual(exact.scale, 0.7, accuracy: 1e-5)

    // Of points that no similarity brings onto their targets, none comes nearer.
    let targets = zip(points, [(3, -2), (-1, 4), (2, 2), (-4, 0), (1, -3)] as [(Float, Float)]).map {
      Point(x: truth($0).x + $1.0, y: truth($0).y + $1.1)
    }
    func error(_ transform: SimilarityTransform) -> Float {
      zip(points, targets).reduce(0) { sum, pair in
        let moved = transform(pair.0)
        return sum + (moved.x - pair.1.x) * (moved.x - pair.1.x) + (moved.y - pair.1.y) * (moved.y - pair.1.y)
      }
    }
    let best = try XCTUnwrap(SimilarityTransform(from: points, to: targets))
    for (path, step) in [(\SimilarityTransform.a, 0.005), (\.b, 0.005), (\.tx, 0.2), (\.ty, 0.2)]
      as [(WritableKeyPath<SimilarityTransform, Float>, Float)]
    {
      for sign in [-1, 1] as [Float] {
        var other = best
        other[keyPath: path] += sign * step
        XCTAssertLessThan(error(best), error(other))
      }
    }
    XCTAssertNil(SimilarityTransform(from: points.map { _ in points[0] }, to: points))
    XCTAssertNil(SimilarityTransform(from: points.map { _ in Point(x: .nan, y: 0) }, to: points))
  }

  /// Dots where a turned and shrunk face has its landmarks come to lie where the template has them.
  func testLandmarksLandOnTheTemplate() throws {
    var settings = PreparationSettings()
    (settings.align, settings.size, settings.margin) = (true, 128, 1.6)
    let template = FaceAlignment.template(margin: 1.6, size: 128)
    // Eyes level and symmetric about the middle, above the nose, and this above the mouth.
    XCTAssertEqual(template[0].x + template[1].x, 128, accuracy: 1e-3)
    XCTAssertEqual(template[0].y, template[1].y)
    XCTAssertTrue(template[0].y < template[2].y && template[2].y < template[3].y)
    for (degrees, scale) in [(0, 1), (20, 1.7), (-35, 2.5)] as [(Float, Float)] {
      let into = turned(degrees, scale: scale, tx: 150, ty: 160)
      let landmarks = template.map { into($0) }
      let photo = image(700, 700) { x, y in
        let isDot = landmarks.map { mark in
          hypot(Float(x) + 0.5 - mark.x, Float(y) + 0.5 - mark.y) < 2.5 * scale
        }
        return (0..<3).map { isDot[$0] ? 255 : 0 }  // one colour each for eyes and nose
      }
      let (xs, ys) = (landmarks.map(\.x), landmarks.map(\.y))
      let center = Point(x: (xs.min()! + xs.max()!) / 2, y: (ys.min()! + ys.max()!) / 2)
      let face = Detection(
        box: Box(centerX: center.x, centerY: center.y, width: 75 * scale, height: 80 * scale), score: 1,
        landmarks: landmarks)
      let crop = photo.warped(by: FaceAlignment.transform(for: face, settings), size: settings.size)
      XCTAssertEqual([crop.width, crop.height, crop.channels, crop.bitDepth], [128, 128, 3, 8])
      for channel in 0..<3 {
        var (sum, x, y): (Float, Float, Float) = (0, 0, 0)
        for i in 0..<128 * 128 {
          let value = Float(crop.bytes[3 * i + channel])
          sum += value
          x += value * (Float(i % 128) + 0.5)
          y += value * (Float(i / 128) + 0.5)
        }
        XCTAssertEqual(x / sum, template[channel].x, accuracy: 0.25, "\(degrees) degrees, \(channel)")
        XCTAssertEqual(y / sum, template[channel].y, accuracy: 0.25, "\(degrees) degrees, \(channel)")
      }

      // Without landmarks, with landmarks that contradict the box, or unless asked: the box's square.
      var plain = face
      plain.landmarks = []
      let square = FaceAlignment.transform(for: plain, settings)
      XCTAssertEqual(square.b, 0)
      XCTAssertEqual(square.scale, 128 / (1.6 * 80 * scale), accuracy: 1e-4)
      let middle = square(center)
      XCTAssertEqual(middle.x, 64, accuracy: 1e-2)
      XCTAssertEqual(middle.y, 64, accuracy: 1e-2)
      plain.landmarks = landmarks.map { Point(x: $0.x * 9, y: $0.y * 9) }
      XCTAssertEqual(FaceAlignment.transform(for: plain, settings), square)
      settings.align = false
      XCTAssertEqual(FaceAlignment.transform(for: face, settings), square)
      settings.align = true
    }
  }

  func testWarping() {
    // At its own size a picture stays what it is; beyond its border is the border.
    let photo = image(8, 6) { x, y in [UInt8(30 * x), UInt8(40 * y), UInt8(x * y)] }
    let same = photo.warped(by: SimilarityTransform(square: Box(x0: 2, y0: 1, x1: 6, y1: 5), side: 4), size: 4)
    XCTAssertEqual(same.bytes, photo.cropped(x: 2, y: 1, width: 4, height: 4).bytes)
    let outside = photo.warped(by: SimilarityTransform(square: Box(x0: -4, y0: -4, x1: 4, y1: 4), side: 8), size: 8)
    XCTAssertEqual(Array(outside.bytes[0..<3]), [0, 0, 0])
    XCTAssertEqual(outside.cropped(x: 7, y: 0, width: 1, height: 1).bytes, [90, 0, 0])
    XCTAssertEqual(outside.cropped(x: 1, y: 7, width: 1, height: 1).bytes, [0, 120, 0])

    // What is finer than a pixel is averaged, in every storage.
    for (channels, depth) in [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (3, 16)] {
      var bytes: [UInt8] = []
      for y in 0..<80 {
        for x in 0..<80 {
          for c in 0..<channels {
            let value: UInt8 = (x + y) % 2 == 0 && (c < 3 && channels != 2 || c == 0) ? 200 : 0
            bytes += [UInt8](repeating: value, count: depth / 8)
          }
        }
      }
      let board = Image(width: 80, height: 80, channels: channels, bitDepth: depth, bytes: bytes)
      let small = board.warped(by: SimilarityTransform(square: Box(x0: 8, y0: 8, x1: 72, y1: 72), side: 8), size: 8)
      XCTAssertTrue(small.bytes.allSatisfy { abs(Int($0) - 100) <= 2 }, "\(channels) \(depth): \(small.bytes[0..<6])")
      XCTAssertEqual(small.bytes.count, 192)
    }
  }

  /// A photo that is turned gives the same upright crop.
  func testATurnedFaceComesOutUpright() throws {
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let device = try selectDevice().device
    let detector = try loadDetector("retinaface", from: projectURL("models"), on: device)
    var settings = PreparationSettings()
    (settings.align, settings.margin) = (true, 2)
    // About the face, which lies at (224, 117).
    let turn = turned(
      25, tx: 256 - 224 * Foundation.cos(25 * Float.pi / 180) + 117 * Foundation.sin(25 * Float.pi / 180),
      ty: 256 - 224 * Foundation.sin(25 * Float.pi / 180) - 117 * Foundation.cos(25 * Float.pi / 180))
    let tilted = photo.warped(by: turn, size: 512)
    func tilt(_ face: Detection) -> Float {
      let (left, right) = (face.landmarks[0], face.landmarks[1])
      return atan2(right.y - left.y, right.x - left.x) * 180 / .pi
    }
    let found = try XCTUnwrap(detector.detect(tilted, on: device).first)
    let straight = try XCTUnwrap(detector.detect(photo, on: device).first)
    XCTAssertGreaterThan(tilt(found) - tilt(straight), 15)
    let preparation = FacePreparation(
      settings, detectors: try retinaFace())
    let crops = [preparation.crop(straight, from: photo), preparation.crop(found, from: tilted)]
    let again = try crops.map { try XCTUnwrap(detector.detect($0, on: device).first) }
    XCTAssertEqual(tilt(again[1]), tilt(again[0]), accuracy: 4)
    for (mark, other) in zip(again[0].landmarks, again[1].landmarks) {
      XCTAssertEqual(mark.x, other.x, accuracy: 8)
      XCTAssertEqual(mark.y, other.y, accuracy: 8)
    }
    XCTAssertEqual(try preparation.faces(in: photo).count, 1)
  }

  // MARK: Several detectors

  func testDetectorsAreCombined() {
    func detection(_ x: Float, _ score: Float, marks: Int = 0) -> Detection {
      Detection(
        box: Box(x0: x, y0: 0, x1: x + 10, y1: 10), score: score,
        landmarks: (0..<marks).map { Point(x: Float($0), y: 0) })
    }
    let found = [
      (name: "a", detections: [detection(0, 0.8, marks: 5), detection(50, 0.75, marks: 5)]),
      (name: "b", detections: [detection(1, 0.9), detection(100, 0.95)]),
      (name: "c", detections: [detection(2, 0.8, marks: 3), detection(54, 0.75), detection(100, 0.95)]),
    ]
    let union = combined(found, votes: 1)
    XCTAssertEqual(union.map(\.detectors), [["b", "c"], ["a", "b", "c"], ["a"], ["c"]])
    XCTAssertEqual(union.map(\.detection.box.x0), [100, 1, 50, 54])  // 50 and 54 share 3/7
    // The best score's box; of landmarks, the best's that has any: of two with 0.8 the earlier detector's.
    XCTAssertEqual(union[1].detection.score, 0.9)
    XCTAssertEqual(union[1].detection.landmarks.count, 5)
    XCTAssertEqual(combined(found, votes: 2).map(\.detection.box.x0), [100, 1])
    XCTAssertEqual(combined(found, votes: 3).map(\.detection.box.x0), [1])
    // A detector that finds a face twice has one vote.
    XCTAssertEqual(combined([("a", [detection(0, 0.9), detection(1, 0.8)]), ("b", [])], votes: 2), [])
    XCTAssertThrowsError(try DetectorEnsemble([], on: CPUDevice()))
  }

  // MARK: Quality

  func testDifferenceHash() throws {
    let rising = image(64, 64) { x, y in [UInt8(2 * x + y), UInt8(2 * x + y), UInt8(2 * x + y)] }
    let falling = image(64, 64) { x, y in [UInt8](repeating: UInt8(200 - 3 * x), count: 3) }
    let mixed = image(72, 72) { x, y in [UInt8](repeating: y < 9 ? UInt8(3 * x) : UInt8(250 - 3 * x), count: 3) }
    XCTAssertEqual(try CropQuality(of: rising).hash, .max)
    XCTAssertEqual(try CropQuality(of: falling).hash, 0)
    XCTAssertEqual(try CropQuality(of: mixed).hash, 0xff << 56)
    XCTAssertEqual(try CropQuality(of: mixed).distance(to: CropQuality(of: falling)), 8)

    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    func face(_ image: Image, x: Float = 150) throws -> CropQuality {
      let box = Box(x0: x, y0: 40, x1: x + 150, y1: 190)
      return try CropQuality(of: image.warped(by: SimilarityTransform(square: box, side: 128), size: 128))
    }
    let other = try face(photo, x: 300)
    XCTAssertLessThanOrEqual(
      try face(jpegRoundTrip(photo, quality: 60)).distance(to: face(photo)), CropSelection.duplicateDistance)
    XCTAssertGreaterThan(try face(photo).distance(to: other), 3 * CropSelection.duplicateDistance)
  }

  func testSharpness() throws {
    // One bright pixel: the Laplacian is -4v there and v at its four neighbours; its mean is 0.
    let dot = image(20, 20) { x, y in [UInt8](repeating: x == 9 && y == 7 ? 100 : 0, count: 3) }
    XCTAssertEqual(try CropQuality(of: dot).sharpness, 20 * 100 * 100 / 400, accuracy: 0.1)
    // At the border, beside the corner: the corner sees it twice, once mirrored, and two others once.
    let edge = image(20, 20) { x, y in [UInt8](repeating: x == 1 && y == 0 ? 100 : 0, count: 3) }
    XCTAssertEqual(try CropQuality(of: edge).sharpness, 22 * 100 * 100 / 400, accuracy: 0.1)
    XCTAssertEqual(try CropQuality(of: image(16, 16) { _, _ in [90, 10, 200] }).sharpness, 0, accuracy: 1e-3)
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let whole = SimilarityTransform(square: Box(x0: 0, y0: 0, x1: 512, y1: 512), side: 256)
    let small = SimilarityTransform(square: Box(x0: 0, y0: 0, x1: 512, y1: 512), side: 64)
    let back = SimilarityTransform(square: Box(x0: 0, y0: 0, x1: 64, y1: 64), side: 256)
    let sharp = try CropQuality(of: photo.warped(by: whole, size: 256)).sharpness
    let blurred = try CropQuality(of: photo.warped(by: small, size: 64).warped(by: back, size: 256)).sharpness
    XCTAssertLessThan(blurred * 5, sharp)
  }

  private func prepared(_ name: String, truth: [Box]? = nil, _ crops: [(hash: UInt64, sharp: Double, iou: Float?)])
    throws -> PreparedPhoto
  {
    let face = FoundFace(
      detection: Detection(box: Box(x0: 0, y0: 1, x1: 2, y1: 3), score: 0.75, landmarks: []), detectors: ["a", "b"])
    var quality = try CropQuality(of: image(16, 16) { _, _ in [0, 0, 0] })
    return PreparedPhoto(
      photo: name, source: "s", settings: "t", width: 4, height: 5, truth: truth,
      crops: crops.enumerated().map { index, crop in
        (quality.hash, quality.sharpness) = (crop.hash, crop.sharp)
        return PreparedCrop(
          file: "images/\(name)-\(index + 1).png", digest: "", face: face, quality: quality, iou: crop.iou)
      })
  }

  func testSelectionKeepsTheEarlierCrop() throws {
    let photos = try [
      prepared("a", [(0b0, 9, nil), (0b1111, 9, nil)]), nil,
      // Near only to one that was dropped itself, and so kept; blurred, and so no reason to drop the next.
      prepared("b", [(0xff, 9, nil), (0xffff_0000, 1, nil), (0xffff_0000, 9, nil)]),
    ]
    XCTAssertEqual(
      CropSelection(droppingDuplicates: true, below: 5).reasons(photos),
      [[nil, .duplicate], [], [nil, .blurred, nil]])
    XCTAssertEqual(
      CropSelection(droppingDuplicates: false, below: 0).reasons(photos), [[nil, nil], [], [nil, nil, nil]])
  }

  // MARK: Truth and manifest

  func testStatus() throws {
    let box = [Box(x0: 0, y0: 0, x1: 9, y1: 9)]
    for (truth, overlaps, status) in [
      (nil, [], .lost), (nil, [nil], .kept), (box, [], .lost), (box, [0.49], .lost), (box, [0.1, 0.5], .kept),
      ([], [0], .junk), ([], [], .faceless),
    ] as [([Box]?, [Float?], PreparedPhoto.Status)] {
      XCTAssertEqual(try prepared("a", truth: truth, overlaps.map { (0, 0, $0) }).status, status, "\(overlaps)")
    }
  }

  func testManifest() throws {
    let box = [Box(x0: 0, y0: 0, x1: 9, y1: 9)]
    let photos = try [
      prepared("x/a, \"b\".jpg", truth: box, [(1, 2.5, 0.75), (1, 2, 0.25)]), prepared("lost.png", truth: box, []),
    ]
    let manifest = PreparationManifest(
      photos.map { ($0.photo, $0) } + [("broken.png", nil)], reasons: [[nil, .duplicate], [], []])
    let summary = manifest.summary
    XCTAssertEqual([summary.photos, summary.kept, summary.lost, summary.junk, summary.failed], [3, 1, 1, 0, 1])
    XCTAssertEqual([summary.crops, summary.junkCrops, summary.duplicates, summary.blurred], [1, 0, 1, 0])
    XCTAssertEqual(summary.meanIoU, 0.75)
    let rows = manifest.csv().split(separator: "\n").map(String.init)
    XCTAssertEqual(
      rows[1],
      #""x/a, ""b"".jpg",kept,"images/x/a, ""b"".jpg-1.png",kept,a+b,0.75,0.0,1.0,2.0,3.0,0.75,2.5,"#)
    XCTAssertTrue(rows[2].hasSuffix(",junk,a+b,0.75,0.0,1.0,2.0,3.0,0.25,2.0,duplicate"), rows[2])
    XCTAssertEqual(Array(rows[3...]), ["lost.png,lost,,,,,,,,,,,", "broken.png,failed,,,,,,,,,,,"])
    let lines = try manifest.jsonLines().split(separator: "\n").map(String.init)
    XCTAssertEqual(
      lines[2], #"{"crops":[],"height":null,"photo":"broken.png","status":"failed","truth":null,"width":null}"#)
    XCTAssertTrue(lines[0].contains(#""dropped":null,"file":"images/x/a, \"b\".jpg-1.png","iou":0.75,"#), lines[0])
  }

  func testTruthIsFoundByName() throws {
    func entry(_ file: String, _ x: Float) -> PhotoDetections {
      PhotoDetections(
        file: file, width: 100, height: 50,
        faces: [Detection(box: Box(x0: x, y0: 0, x1: x + 20, y1: 40), score: 1, landmarks: [])])
    }
    let entries = [
      entry("/p/a.jpg", 1), entry("/p/sub/a.png", 2), entry("/p/sub/a.jpg", 3), entry("/p/b.jpg", 4),
      entry("/q/b.jpg", 5),
    ]
    try folder.write(JSONEncoder().encode(entries), "truth.json")
    let truth = try FaceTruth(list: URL(fileURLWithPath: folder.path("truth.json")))
    func x(_ path: String) throws -> Float? {
      guard case .boxes(let found) = try truth.source(of: path) else { return nil }
      return found.faces[0].box.x0
    }
    XCTAssertEqual(try x("a.jpg"), 1)
    XCTAssertEqual(try x("a.png"), 1, "a copy may have another type")
    XCTAssertEqual(try x("sub/a.png"), 2)
    XCTAssertEqual(try x("sub/a.jpg"), 3)
    for (path, message) in [
      ("c.jpg", "c.jpg: is not in the list"), ("b.jpg", "b.jpg: may be /p/b.jpg or /q/b.jpg"),
      ("other/a.jpg", "is not in"),
    ] {
      XCTAssertThrowsError(try truth.source(of: path)) { XCTAssertTrue("\($0)".contains(message), "\($0)") }
    }
    // Boxes follow a photo that was resized; small ones are left out as small faces are.
    var settings = PreparationSettings()
    settings.minSize = 30
    let preparation = FacePreparation(
      settings, detectors: try retinaFace())
    XCTAssertEqual(
      try preparation.boxes(of: truth.source(of: "a.jpg"), width: 200, height: 100),
      [Box(x0: 2, y0: 0, x1: 42, y1: 80)])
    XCTAssertEqual(try preparation.boxes(of: truth.source(of: "a.jpg"), width: 100, height: 50), [])

    let far = #"{"box":{"x0":0,"x1":1e30,"y0":0,"y1":1},"landmarks":[],"score":1}"#
    for text in [
      "{}", "[{}]", "[", #"[{"file":"a","width":0,"height":1,"faces":[]}]"#,
      #"[{"file":"a","width":1,"height":1,"faces":[\#(far)]}]"#,
    ] {
      try folder.write(Data(text.utf8), "bad.json")
      XCTAssertThrowsError(try FaceTruth(list: URL(fileURLWithPath: folder.path("bad.json"))), text) {
        XCTAssertTrue("\($0)".contains("bad.json"), "\($0)")
      }
    }
  }

  func testJournalOutlivesACutOffLine() throws {
    // Each is closed, and with it its lock given up, before the next is opened.
    func open() throws -> Journal<PreparedPhoto> { try Journal(in: OutputFolder(FilePath(folder.url.path))) }
    let url = folder.url.appendingPathComponent(PreparedPhoto.journalName)
    do {
      let first = try open()
      try first.add(prepared("a", []))
      try first.add(prepared("b", []))
    }
    try Data(contentsOf: url).dropLast(9).write(to: url)
    do {
      let second = try open()
      XCTAssertEqual(second.damagedLineCount, 1)
      XCTAssertNotNil(second.finished("a", source: "s", settings: "t"))
      XCTAssertNil(second.finished("a", source: "s", settings: "other"))
      XCTAssertNil(second["b"])
      try second.add(prepared("c", []))
    }
    do {
      let third = try open()
      XCTAssertEqual(third.entries.map(\.photo), ["a", "c"])
      try third.rewrite([prepared("c", []), prepared("a", [])])
    }
    XCTAssertEqual(try String(contentsOf: url, encoding: .utf8).split(separator: "\n").count, 2)
    XCTAssertNotNil(try open()["c"])
  }

  func testAJournalThatIsOpenIsWaitedFor() throws {
    struct GivenUp: Error {}
    let folder = try OutputFolder(FilePath(folder.url.path))
    let first = try Journal<PreparedPhoto>(in: folder)
    try first.add(prepared("a", []))
    var waits = 0
    XCTAssertThrowsError(
      try Journal<PreparedPhoto>(in: folder) {
        waits += 1
        if waits == 3 { throw GivenUp() }
      }
    ) { XCTAssertTrue($0 is GivenUp, "\($0)") }
    XCTAssertEqual(waits, 3)
  }
}

private func retinaFace() throws -> sending DetectorEnsemble {
  let device = CPUDevice()
  return try DetectorEnsemble(
    [("retinaface", loadDetector("retinaface", from: projectURL("models"), on: device))], on: device)
}
