import Foundation
import Pictures
import TestSupport
import XCTest

/// `tsdf protect` on the types that people have.
final class ProtectFormatsTests: CommandTestCase {
  private func protect(_ extra: String...) throws -> RunResult {
    try tsdf(
      [
        "protect", folder.path("in"), "--output", folder.path("out"), "--region", "image", "--refine", "0",
        "--perturbation",
        folder.path("perturbation.safetensors"),
      ] + extra)
  }

  private func copy(_ name: String) throws -> ImageFile {
    try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("out/\(name)")))
  }

  func testEachTypeIsProtectedAsItself() throws {
    let image = syntheticImage()
    let source = try ImageFile(encodePNG(image), path: "source")
    for type in [ImageType.jpeg, .png, .webp, .tiff, .heic, .avif] {
      try folder.write(source.encoded(as: type), "in/\(type.rawValue).\(type.pathExtensions[0])")
    }
    let palette: [[UInt8]] = (0..<256).map { [UInt8($0), 90, UInt8(255 - $0)] }
    let frame = (left: 0, top: 0, width: 32, height: 32, indices: (0..<1024).map { UInt8($0 / 4) })
    try folder.write(gif(width: 32, height: 32, palette: palette, frames: [frame, frame]), "in/film.gif")
    try folder.write(bmp(width: 4, height: 4, bits: 32, rows: (0..<64).map { UInt8(60 + $0) }), "in/small.bmp")
    let result = try protect("--json")
    XCTAssertEqual(result.status, 0, result.errors)
    for type in [ImageType.jpeg, .png, .webp, .tiff, .heic, .avif] {
      let copy = try copy("\(type.rawValue).\(type.pathExtensions[0])")
      XCTAssertEqual(copy.type, type)
      XCTAssertEqual([copy.image.width, copy.image.height], [96, 80])
      XCTAssertNotEqual(copy.image.bytes, image.bytes)
      if type.isExact { XCTAssertLessThanOrEqual(copy.image.largestDifference(from: image), 0.05 + 1e-6) }
    }
    XCTAssertEqual(try copy("film.png").type, .png)
    XCTAssertEqual(try copy("small.png").image.width, 4)
    let summary = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
    XCTAssertEqual(summary?["withoutEmbedded"] as? Int, 1)
    XCTAssertEqual(summary?["embedded"] as? [String], ["the frames after the first"])
    // One line says so to people.
    try FileManager.default.removeItem(atPath: folder.path("out"))
    let said = try protect()
    XCTAssertTrue(
      said.output.contains(
        "copies without what the originals hold besides their pictures: 1 (the frames after the first"),
      said.output)
  }

  /// A picture above the limit is refused by name, and done where the limit is lifted.
  func testLargestPicture() throws {
    try folder.write(encodePNG(syntheticImage(width: 1100, height: 1000)), "in/large.png")
    let refused = try protect("--largest-picture", "1")
    XCTAssertEqual(refused.status, 1)
    XCTAssertTrue(refused.errors.contains("large.png: has 1100 x 1000 pixels"), refused.errors)
    XCTAssertTrue(refused.errors.contains("--largest-picture"), refused.errors)
    XCTAssertEqual(try protect("--largest-picture", "2").status, 0)
    XCTAssertEqual(try protect("--largest-picture", "0").status, 64)
  }

  /// What a type cannot hold fails alone, by name.
  func testTooWideForJPEG() throws {
    try folder.write(
      encodePNG(Image(width: 70_000, height: 1, channels: 1, bytes: [UInt8](repeating: 9, count: 70_000))),
      "in/wide.png")
    try folder.write(encodePNG(syntheticImage(width: 40, height: 40)), "in/good.png")
    let result = try protect("--format", "jpeg")
    XCTAssertEqual(result.status, 1)
    XCTAssertTrue(
      result.errors.contains("wide.png: has 70000 x 1 pixels; a JPEG file has at most 65500 a side"), result.errors)
    XCTAssertEqual(try copy("good.jpg").image.width, 40)
  }

  func testGreyStaysGrey() throws {
    let grey = syntheticImage(channels: 1)
    let colored = Image(
      width: grey.width, height: grey.height, channels: 3, bytes: grey.bytes.flatMap { [$0, $0, $0] })
    try folder.write(encodePNG(colored), "in/grey.png")
    // A picture of the same size with colours, so that what moves one does not move the other.
    try folder.write(encodePNG(syntheticImage()), "in/colors.png")
    XCTAssertEqual(try protect().status, 0)
    XCTAssertTrue(try copy("grey.png").image.isNeutral)
    XCTAssertNotEqual(try copy("grey.png").image.bytes, colored.bytes)
    XCTAssertFalse(try copy("colors.png").image.isNeutral)
  }
}
