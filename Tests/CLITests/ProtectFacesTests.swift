import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// `tsdf protect` and `tsdf detect` on faces: those given, and what is said meanwhile.
final class ProtectFacesTests: CommandTestCase {
  private func protect(_ inputs: [String], _ extra: [String], environment: [String: String] = [:]) throws -> RunResult {
    try tsdf(
      ["protect"] + inputs + [
        "--output", folder.path("out"), "--perturbation", folder.path("perturbation.safetensors"),
      ]
        + extra, environment: environment)
  }

  func testGivenFaces() throws {
    let result = try protect(["photos/coffee.png"], ["--refine", "0", "--face", "100,120,60,80", "--json"])
    XCTAssertEqual(result.status, 0, result.errors)
    let summary = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
    XCTAssertEqual(summary?["faces"] as? Int, 1)
    let original = try ImageFile(contentsOf: projectURL("photos/coffee.png")).image
    let copy = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("out/coffee.png"))).image
    func change(_ x: Int, _ y: Int) -> Float {
      copy.cropped(x: x, y: y, width: 20, height: 20)
        .largestDifference(from: original.cropped(x: x, y: y, width: 20, height: 20))
    }
    // The square of 1.5 times 80 around (130, 160).
    XCTAssertGreaterThan(change(120, 150), 0.02)
    XCTAssertEqual(change(191, 150), 0)
    XCTAssertEqual(change(120, 221), 0)
    let outside = try protect(["photos/coffee.png"], ["--refine", "0", "--face", "5000,10,20,20"])
    XCTAssertEqual(outside.status, 1)
    XCTAssertTrue(outside.errors.contains("coffee.png: has no pixel of --face 5000,10,20,20"), outside.errors)
    for value in ["1,2,3", "1,2,3,4,5", "a,2,3,4", "1,2,0,4", "-1,2,3,4", "1,2,3,9999999999999999999", "", "1,2,3,4.5"]
    {
      XCTAssertEqual(try protect(["photos/coffee.png"], ["--face=\(value)"]).status, 64, value)
    }
    XCTAssertEqual(
      try protect(["photos/coffee.png"], ["--face", "1,2,3,4", "--region", "image", "--refine", "0"]).status, 64)
  }

  /// A face is found and given in the photo as viewers show it, whatever way round it is stored.
  func testFacesInTurnedPhotos() throws {
    let upright = try photo(width: 640, height: 400, heads: [PastedHead(x: 60, y: 60, width: 200)])
    try folder.write(try encodePNG(upright.stored(as: 6)), "stored.png")
    var jpeg = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("stored.png"))).encoded(as: .jpeg)
    // EXIF data behind the first marker: a directory of one entry, the orientation 6.
    let tiff: [UInt8] = [
      0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0,
    ]
    jpeg.insert(contentsOf: [0xff, 0xe1, 0, UInt8(8 + tiff.count)] + Array("Exif\0\0".utf8) + tiff, at: 2)
    try folder.write(jpeg, "turned.jpg")
    let result = try protect(
      [folder.path("turned.jpg")], ["--refine", "0", "--face", "500,200,60,80", "--format", "png", "--json"])
    XCTAssertEqual(result.status, 0, result.errors)
    let summary = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
    XCTAssertEqual(summary?["faces"] as? Int, 2)
    let before = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("turned.jpg"))).image.upright(from: 6)
    let after = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("out/turned.png"))).image.upright(from: 6)
    for (x, y, isChanged) in [(150, 150, true), (520, 230, true), (340, 200, false)] {
      let change = after.cropped(x: x, y: y, width: 20, height: 20)
        .largestDifference(from: before.cropped(x: x, y: y, width: 20, height: 20))
      XCTAssertEqual(change > 0.02, isChanged, "\(x), \(y): \(change)")
    }
    let outside = try protect([folder.path("turned.jpg")], ["--refine", "0", "--face", "10,500,20,20"])
    XCTAssertEqual(outside.status, 1, "it has 640 x 400 pixels")
    XCTAssertTrue(outside.errors.contains("it has 640 x 400"), outside.errors)
  }

  /// The page tells of each photo whose copy is there, in this run or before, as detectors and generators see it.
  func testReport() throws {
    try folder.write(try Data(contentsOf: projectURL("photos/astronaut.png")), "in/a <b>.png")
    try folder.write(Data("no picture".utf8), "in/broken.png")
    let arguments = ["--refine", "0", "--generators", "stargan", "--report", folder.path("report")]
    for done in ["1 protected, 0 done before, 1 failed", "0 protected, 1 done before, 1 failed"] {
      let result = try protect([folder.path("in")], arguments)
      XCTAssertEqual(result.status, 1)
      XCTAssertTrue(result.output.hasPrefix(done), result.output + result.errors)
      XCTAssertEqual(
        folder.files.filter { $0.hasPrefix("report/") }, ["report/.tsdf-results.jsonl", "report/index.html"])
      let page = try String(contentsOf: URL(fileURLWithPath: folder.path("report/index.html")), encoding: .utf8)
      XCTAssertTrue(page.contains("1 photo in all"))
      XCTAssertTrue(page.contains("<h2>a &lt;b&gt;.png</h2>"))
      XCTAssertTrue(page.contains("these generators: stargan; and these detectors:\nretinaface"))
      XCTAssertTrue(page.contains("<li>retinaface still finds the face.</li>"))
      XCTAssertTrue(page.contains("<li>stargan is"))
      XCTAssertEqual(page.components(separatedBy: "src=\"data:image/jpeg;base64,").count - 1, 4)
      try FileManager.default.removeItem(atPath: folder.path("report"))
    }
  }

  /// What is said of progress, and what PoCL's compiler says: nothing.
  func testProgressWithoutNoise() throws {
    let arguments = [
      "--refine", "16", "--generators", "none", "--through", "none",
    ]
    let fresh = ["POCL_CACHE_DIR": folder.path("kernels")]
    let result = try protect(["photos/astronaut.png"], arguments, environment: fresh)
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertTrue(result.errors.contains("astronaut.png: face 1 of 1, step 0 of 16"), result.errors)
    XCTAssertFalse(result.errors.contains("warning"), result.errors)
    try FileManager.default.removeItem(atPath: folder.path("out"))
    XCTAssertEqual(try protect(["photos/astronaut.png"], arguments + ["--quiet"]).errors, "")
  }

  /// Where PoCL cannot keep its kernels, it gets another folder, and that is said.
  func testPoCLWithoutItsFolder() throws {
    guard try openCLDevices().contains(where: { $0.platform.contains("Portable Computing") }) else {
      throw XCTSkip("there is no PoCL")
    }
    try folder.write(Data(), "file")
    let result = try tsdf(
      "detect", "photos/coffee.png", environment: ["POCL_CACHE_DIR": folder.path("file/kernels")])
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertTrue(result.errors.contains("Portable Computing"), result.errors)
    XCTAssertTrue(result.errors.contains("file/kernels cannot be written (Not a directory)"), result.errors)
  }
}
