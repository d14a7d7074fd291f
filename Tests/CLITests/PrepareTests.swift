import Foundation
import Networks
import Pictures
import TestSupport
import XCTest

/// `tsdf prepare` as a person runs it: labels, truth, second runs, interruptions, failures.
final class PrepareTests: XCTestCase {
  private var folder: TemporaryFolder!
  /// The astronaut's face and some of what is around it.
  private static let face = try! ImageFile(contentsOf: projectURL("photos/astronaut.png")).image.cropped(
    x: 120, y: 20, width: 200, height: 200)

  override func setUpWithError() throws { folder = try TemporaryFolder() }

  private func prepare(_ inputs: String..., extra: [String] = []) throws -> RunResult {
    try tsdf(["prepare"] + inputs + ["--output", folder.path("out"), "--json", "--quiet"] + extra)
  }

  /// The face, lighter by some steps, as a PNG file.
  private func png(lighter steps: Int16 = 0, of image: Image = face) throws -> Data {
    let delta = [Float](repeating: Float(steps) / 127.5, count: 3 * image.width * image.height)
    return try encodePNG(image.adding(delta, budget: 1))
  }

  private func figures(_ result: RunResult) throws -> [String: Int] {
    let object = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any] ?? [:]
    return object.compactMapValues { $0 as? Int }
  }

  /// The bytes of all files of a folder, hidden ones too.
  private func contents(_ name: String) throws -> [String: Data] {
    var found: [String: Data] = [:]
    for file in folder.files where file.hasPrefix(name + "/") {
      var isDirectory: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: folder.path(file), isDirectory: &isDirectory)
      if !isDirectory.boolValue {
        found[String(file.dropFirst(name.count))] = try Data(contentsOf: URL(fileURLWithPath: folder.path(file)))
      }
    }
    return found
  }

  private func manifest() throws -> [[String: Any]] {
    try String(contentsOfFile: folder.path("out/manifest.jsonl"), encoding: .utf8).split(separator: "\n").map {
      try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] ?? [:]
    }
  }

  func testLabelledCropsAreADataset() throws {
    for (name, steps) in [("1.png", 0), ("sub/2.png", 9), ("3.png", 18)] as [(String, Int16)] {
      try folder.write(try png(lighter: steps), "in/images/\(name)")
    }
    try folder.write(try encodePNG(syntheticImage()), "in/images/none.png")
    try folder.write(
      Data("4\nSmiling Young\n1.png 1 -1\nnone.png -1 -1\nsub/2.png 1 1\nunseen.png 1 1\n".utf8), "in/list_attr.txt")
    let result = try prepare(folder.path("in"), extra: ["--align", "--size", "64"])
    XCTAssertEqual(result.status, 0, result.errors)
    let counts = try figures(result)
    XCTAssertEqual([counts["photos"], counts["kept"], counts["lost"], counts["crops"]], [4, 3, 1, 3])
    XCTAssertEqual(
      try String(contentsOfFile: folder.path("out/list_attr.txt"), encoding: .utf8),
      "2\nSmiling Young\n1-1.png 1 -1\nsub/2-1.png 1 1\n")
    let dataset = try Dataset(labelled: URL(fileURLWithPath: folder.path("out")))
    XCTAssertEqual(dataset.attributes, ["Smiling", "Young"])
    XCTAssertEqual(dataset.items.map(\.labels), [[1, 0], [1, 1]])
    XCTAssertEqual(try FaceSet(dataset, size: 64).count, 2)
    XCTAssertEqual(try manifest().map { $0["status"] as? String }, ["kept", "kept", "lost", "kept"])
    XCTAssertEqual(try manifest().map { $0["photo"] as? String }, ["1.png", "3.png", "none.png", "sub/2.png"])
  }

  func testTruthTellsFacesFromJunk() throws {
    let found = try tsdf("detect", "photos/astronaut.png", "--quiet")
    var photos = try JSONDecoder().decode([PhotoDetections].self, from: Data(found.output.utf8))
    let photo = photos[0]
    let data = try Data(contentsOf: projectURL("photos/astronaut.png"))
    let elsewhere = Detection(box: Box(x0: 300, y0: 300, x1: 400, y1: 400), score: 1, landmarks: [])
    for (name, faces) in [("face", photo.faces), ("junk", []), ("missed", [elsewhere])] {
      try folder.write(data, "in/\(name).png")
      photos.append(PhotoDetections(file: "/clean/\(name).png", width: 512, height: 512, faces: faces))
    }
    try folder.write(try encodePNG(syntheticImage()), "in/void.png")
    photos.append(PhotoDetections(file: "/clean/void.png", width: 96, height: 80, faces: []))
    try folder.write(try JSONEncoder().encode(photos), "truth.json")
    let result = try prepare(folder.path("in"), extra: ["--truth", folder.path("truth.json"), "--size", "32"])
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertEqual(try manifest().map { $0["status"] as? String }, ["kept", "junk", "lost", "faceless"])
    let crops = try manifest().map { $0["crops"] as? [[String: Any]] ?? [] }
    XCTAssertEqual(crops.map(\.count), [1, 1, 1, 0])
    XCTAssertEqual(crops[0][0]["iou"] as? Double, 1)
    XCTAssertEqual(crops[2][0]["status"] as? String, "junk")
    let counts = try figures(result)
    XCTAssertEqual([counts["kept"], counts["junk"], counts["lost"], counts["faceless"]], [1, 1, 1, 1])
    XCTAssertEqual([counts["crops"], counts["junkCrops"]], [3, 2])

    // Another truth, by the clean photos: what was found before does not count.
    for name in ["face", "junk", "void"] { try folder.write(data, "clean/\(name).png") }
    let clean = try prepare(folder.path("in"), extra: ["--clean", folder.path("clean"), "--size", "32"])
    XCTAssertEqual(clean.status, 1)
    XCTAssertTrue(clean.errors.contains("missed.png: has no clean photo of that name"), clean.errors)
    XCTAssertEqual(try manifest().map { $0["status"] as? String }, ["kept", "kept", "failed", "lost"])
    XCTAssertFalse(folder.files.contains("out/images/missed-1.png"))
  }

  func testDuplicatesAndBlurredCropsAreDropped() throws {
    try folder.write(try png(), "in/a.png")
    try folder.write(try png(lighter: 2), "in/b.png")
    let small = Self.face.warped(
      by: SimilarityTransform(square: Box(x0: 0, y0: 0, x1: 200, y1: 200), side: 50), size: 50)
    let blurred = small.warped(by: SimilarityTransform(square: Box(x0: 0, y0: 0, x1: 50, y1: 50), side: 200), size: 200)
    try folder.write(try encodePNG(blurred), "in/c.png")
    XCTAssertEqual(try prepare(folder.path("in")).status, 0)
    let sharpness = try manifest().map {
      (($0["crops"] as? [[String: Any]])?.first?["sharpness"] as? Double) ?? .nan
    }
    XCTAssertLessThan(sharpness[2] * 2, sharpness[0])
    let between = "\((sharpness[0] + sharpness[2]) / 2)"
    let result = try prepare(folder.path("in"), extra: ["--drop-duplicates", "--drop-blurred", between])
    let counts = try figures(result)
    XCTAssertEqual([counts["crops"], counts["duplicates"], counts["blurred"]], [1, 1, 1])
    // Sorting out finds no face anew.
    XCTAssertEqual([counts["done"], counts["skipped"]], [0, 3])
    XCTAssertEqual(folder.files.filter { $0.hasPrefix("out/images/") }, ["out/images/a-1.png"])
    let csv = try String(contentsOfFile: folder.path("out/manifest.csv"), encoding: .utf8).split(separator: "\n")
    XCTAssertEqual(
      csv[1...].map { $0.split(separator: ",", omittingEmptySubsequences: false).last }, ["", "duplicate", "blurred"])
    // And what was dropped comes back.
    XCTAssertEqual(try figures(prepare(folder.path("in")))["crops"], 3)
    XCTAssertEqual(folder.files.filter { $0.hasPrefix("out/images/") }.count, 3)
  }

  func testSecondRunDoesOnlyWhatIsMissing() throws {
    for i in 0..<4 { try folder.write(try png(lighter: Int16(9 * i)), "in/\(i).png") }
    let first = try prepare(folder.path("in"))
    XCTAssertEqual(try figures(first)["done"], 4, first.errors)
    let whole = try contents("out")
    XCTAssertEqual(whole.count, 7, "\(whole.keys)")
    XCTAssertEqual(try figures(prepare(folder.path("in")))["skipped"], 4)
    XCTAssertEqual(try contents("out"), whole)

    var damaged = try XCTUnwrap(whole["/images/1-1.png"])
    damaged[damaged.count / 2] ^= 1
    try folder.write(damaged, "out/images/1-1.png")
    try FileManager.default.removeItem(atPath: folder.path("out/images/2-1.png"))
    let repaired = try figures(prepare(folder.path("in")))
    XCTAssertEqual([repaired["done"], repaired["skipped"]], [2, 2])
    XCTAssertEqual(try contents("out"), whole)

    // Other settings, and photos that are gone: nothing of the earlier runs is left.
    let other = try figures(prepare(folder.path("in"), extra: ["--size", "32"]))
    XCTAssertEqual([other["done"], other["skipped"]], [4, 0])
    let crop = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("out/images/0-1.png"))).image
    XCTAssertEqual([crop.width, crop.height], [32, 32])
    try FileManager.default.removeItem(atPath: folder.path("in/3.png"))
    XCTAssertEqual(try figures(prepare(folder.path("in")))["done"], 3)
    XCTAssertFalse(folder.files.contains("out/images/3-1.png"))
    XCTAssertEqual(try contents("in").count, 3)
  }

  func testKilledRunEndsInTheSameBits() throws {
    for i in 0..<20 { try folder.write(try png(lighter: Int16(3 * i)), "in/images/\(i).png") }
    let lines = (0..<20).map { "\($0).png \($0 % 2 == 0 ? 1 : -1)" }
    try folder.write(Data((["20", "Even"] + lines).joined(separator: "\n").utf8), "in/list_attr.txt")
    let options = ["--drop-duplicates", "--detectors", "retinaface,mtcnn", "--combine", "vote", "--votes", "1"]
    let (process, _, _) = try startTSDF(
      ["prepare", folder.path("in"), "--output", folder.path("out"), "--quiet"] + options)
    func done() -> Int { folder.files.filter { $0.hasPrefix("out/images/") && $0.hasSuffix(".png") }.count }
    while done() == 0 && process.isRunning { usleep(2000) }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    XCTAssertFalse(folder.files.contains("out/manifest.jsonl"), "the run ended before it was killed")
    XCTAssertEqual(try prepare(folder.path("in"), extra: options).status, 0)
    let resumed = try contents("out")
    try FileManager.default.removeItem(atPath: folder.path("out"))
    XCTAssertEqual(try prepare(folder.path("in"), extra: options).status, 0)
    XCTAssertEqual(resumed, try contents("out"))
    XCTAssertGreaterThan(resumed.count, 4)
    XCTAssertFalse(resumed.keys.contains { $0.hasSuffix(".partial") })
  }

  func testSignalsEndPrepareAndTheSameCommandGoesOn() throws {
    for i in 0..<20 { try folder.write(try png(lighter: Int16(3 * i)), "in/\(i).png") }
    let end = try interrupt(["prepare", folder.path("in"), "--output", folder.path("out")], with: SIGTERM) {
      folder.files.contains { $0.hasPrefix("out/images/") }
    }
    XCTAssertEqual(end.status, 143, end.errors)
    XCTAssertTrue(end.errors.contains("stopped; the same command goes on"), end.errors)
    XCTAssertFalse(folder.files.contains { $0 == "out/manifest.jsonl" || $0.hasSuffix(".partial") })
    let counts = try figures(prepare(folder.path("in")))
    XCTAssertGreaterThan(counts["skipped"] ?? 0, 0)
    XCTAssertEqual((counts["done"] ?? 0) + (counts["skipped"] ?? 0), 20)
    let resumed = try contents("out")
    try FileManager.default.removeItem(atPath: folder.path("out"))
    XCTAssertEqual(try prepare(folder.path("in")).status, 0)
    XCTAssertEqual(resumed, try contents("out"))
  }

  func testFilesAndLinksInTheOutputStay() throws {
    try folder.write(try png(), "in/a.png")
    try folder.write(Data("mine".utf8), "out/images/a-1.png")
    let foreign = try prepare(folder.path("in"))
    XCTAssertEqual(foreign.status, 1)
    XCTAssertTrue(
      foreign.errors.contains("out/images/a-1.png: is there already, and no run of this command made it"),
      foreign.errors)
    XCTAssertEqual(try Data(contentsOf: folder.url.appendingPathComponent("out/images/a-1.png")), Data("mine".utf8))
    try FileManager.default.removeItem(atPath: folder.path("out/images"))
    try folder.write(Data("mine".utf8), "elsewhere/a-1.png")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("out/images"), withDestinationPath: folder.path("elsewhere"))
    let linked = try prepare(folder.path("in"))
    XCTAssertEqual(linked.status, 1)
    XCTAssertTrue(linked.errors.contains("out/images: is a symbolic link"), linked.errors)
    XCTAssertEqual(try contents("elsewhere"), ["/a-1.png": Data("mine".utf8)])
  }

  func testBrokenFilesAreNamedAndTheOthersDone() throws {
    try folder.write(try png(), "in/a.png")
    try folder.write(try png(), "in/deep/a.jpg")
    try folder.write(try png(lighter: 20), "in/deep/a.png")
    try folder.write(try png().prefix(900), "in/truncated.png")
    try folder.write(Data("no picture".utf8), "in/text.jpg")
    let result = try prepare(folder.path("in"), folder.path("nowhere"))
    XCTAssertEqual(result.status, 1)
    for message in [
      "truncated.png: ", "text.jpg: is of no type that is read", "nowhere: does not exist",
      "deep/a.png: would have crops of the same names as another input's, images/deep/a-N.png",
    ] {
      XCTAssertTrue(result.errors.contains(message), "\(message): \(result.errors)")
    }
    let counts = try figures(result)
    XCTAssertEqual([counts["photos"], counts["kept"], counts["failed"], counts["crops"]], [6, 2, 4, 2])
    XCTAssertEqual(try manifest().map { $0["status"] as? String }, ["kept", "kept", "failed", "failed", "failed"])
  }

  func testFacesThatAreTooSmallOrNotTheLargest() throws {
    let (wide, face) = (400, Self.face)
    let small = face.warped(by: SimilarityTransform(square: Box(x0: 0, y0: 0, x1: 200, y1: 200), side: 100), size: 100)
    var bytes = [UInt8](repeating: 90, count: 3 * wide * 200)
    for y in 0..<200 {
      bytes.replaceSubrange(3 * y * wide..<3 * (y * wide + 200), with: face.bytes[600 * y..<600 * (y + 1)])
      if y < 100 {
        bytes.replaceSubrange(
          3 * (y * wide + 250)..<3 * (y * wide + 350), with: small.bytes[300 * y..<300 * (y + 1)])
      }
    }
    try folder.write(try encodePNG(Image(width: wide, height: 200, channels: 3, bytes: bytes)), "in/two.png")
    XCTAssertEqual(try figures(prepare(folder.path("in")))["crops"], 2)
    for option in [["--faces", "largest"], ["--min-size", "60"]] {
      XCTAssertEqual(try figures(prepare(folder.path("in"), extra: option))["crops"], 1, "\(option)")
      let crop = try (manifest()[0]["crops"] as? [[String: Any]])?.first
      let box = crop?["box"] as? [String: Double]
      XCTAssertLessThan(box?["x1"] ?? 999, 200, "\(option)")
    }
    XCTAssertFalse(folder.files.contains("out/images/two-2.png"))
  }

  func testSeveralDetectors() throws {
    try folder.write(try png(), "in/a.png")
    for (combination, detectors) in [
      ("first", ["retinaface"]), ("union", ["retinaface", "mtcnn"]), ("vote", ["retinaface", "mtcnn"]),
    ] {
      let result = try prepare(
        folder.path("in"), extra: ["--detectors", "retinaface,mtcnn", "--combine", combination])
      XCTAssertEqual(result.status, 0, result.errors)
      let crops = try manifest()[0]["crops"] as? [[String: Any]] ?? []
      XCTAssertEqual(crops.map { $0["detectors"] as? [String] }, [detectors], combination)
    }
  }

  func testWrongUsage() throws {
    try folder.write(try png(), "in/images/a.png")
    try folder.write(Data("1\nA\na.png 1\n".utf8), "in/list_attr.txt")
    func requireUsageError(_ output: String, _ extra: [String] = [], saying text: String, line: UInt = #line) throws {
      let result = try tsdf(["prepare", folder.path("in/images"), "--output", folder.path(output)] + extra)
      XCTAssertEqual(result.status, 64, result.errors, line: line)
      XCTAssertTrue(result.errors.contains(text), result.errors, line: line)
    }
    for option in ["--min-size", "--size", "--longest-side", "--votes"] {
      for value in ["9223372036854775807", "-1"] {
        try requireUsageError("out", ["\(option)=\(value)", "--combine", "vote"], saying: option)
      }
    }
    for option in ["--threshold", "--margin", "--drop-blurred"] {
      for value in ["nan", "inf", "-1"] { try requireUsageError("out", ["\(option)=\(value)"], saying: option) }
    }
    try requireUsageError("out", ["--detectors", "magic"], saying: "magic: is no detector")
    try requireUsageError("out", ["--detectors", "none"], saying: "--detectors")
    try requireUsageError("out", ["--detectors", "mtcnn,mtcnn"], saying: "twice")
    try requireUsageError("out", ["--votes", "1"], saying: "--votes is for --combine vote")
    try requireUsageError("out", ["--truth", "a", "--clean", "b"], saying: "exclude each other")
    for output in ["in", "in/images", "in/../in"] {
      try requireUsageError(output, saying: "the originals would be overwritten")
    }
    try requireUsageError("in/images/crops", saying: "lies in")
    try folder.write(Data("1\nA\nx.png 1\n".utf8), "mine/list_attr.txt")
    try requireUsageError("mine", saying: "holds a list_attr.txt that no run of this command made")
    XCTAssertEqual(folder.files.filter { $0.hasSuffix(".png") }, ["in/images/a.png"])
  }
}
