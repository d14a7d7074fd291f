import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// Pictures in many storages (tools/make-image-goldens.py): what is read, and what a copy keeps.
final class ImageFileTests: XCTestCase {
  private func url(_ name: String) -> URL { projectURL("Tests/Goldens/images/\(name)") }

  /// The picture all of them hold.
  private func expected(_ x: Int, _ y: Int) -> [Int] { [x * 10, y * 14, x * y % 256] }

  /// The mean absolute difference from that picture, over the colours.
  private func error(_ image: Image) -> Double {
    var sum = 0
    for y in 0..<image.height {
      for x in 0..<image.width {
        for c in 0..<3 { sum += abs(Int(image.bytes[(y * image.width + x) * image.channels + c]) - expected(x, y)[c]) }
      }
    }
    return Double(sum) / Double(image.width * image.height * 3)
  }

  func testStorages() throws {
    for (name, channels, tolerance) in [
      ("palette.png", 3, 25.0), ("palette-transparent.png", 4, 25), ("one-bit.png", 1, nil), ("grey.jpg", 1, nil),
      ("progressive.jpg", 3, 6), ("subsampled.jpg", 3, 20), ("cmyk.jpg", 3, 8), ("profile.png", 3, 0),
    ] as [(String, Int, Double?)] {
      let file = try ImageFile(contentsOf: url(name))
      XCTAssertEqual([file.image.width, file.image.height, file.image.channels], [24, 17, channels], name)
      XCTAssertEqual(file.image.bitDepth, 8, name)
      XCTAssertEqual(file.orientation, 1)
      if let tolerance { XCTAssertLessThanOrEqual(error(file.image), tolerance, name) }
      XCTAssertEqual(file.notes.count, name == "cmyk.jpg" ? 1 : 0, "\(file.notes)")
    }
    XCTAssertEqual(Set(try ImageFile(contentsOf: url("one-bit.png")).image.bytes), [0, 255])
  }

  /// A PNG copy has the same pixels, and every chunk that stays true; a JPEG copy its profile.
  func testCopiesKeepWhatTheyCan() throws {
    let profile = try ImageFile(contentsOf: url("profile.png"))
    let copy = try profile.encoded(as: .png)
    for chunk in ["iCCP", "pHYs"] { XCTAssertNotNil(copy.range(of: Data(chunk.utf8)), chunk) }
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tsdf-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let target = folder.appendingPathComponent("copy.png")
    try writeAtomically(copy, to: target)
    XCTAssertEqual(try ImageFile(contentsOf: target).image.bytes, profile.image.bytes)

    let jpeg = try ImageFile(contentsOf: url("progressive.jpg")).encoded(as: .jpeg, quality: 95)
    XCTAssertNotNil(jpeg.range(of: Data("ICC_PROFILE\0".utf8)))
    try writeAtomically(jpeg, to: target)
    XCTAssertLessThanOrEqual(error(try ImageFile(contentsOf: target).image), 7)

    let transparent = try ImageFile(contentsOf: url("palette-transparent.png"))
    try writeAtomically(try transparent.encoded(as: .png), to: target)
    XCTAssertEqual(try ImageFile(contentsOf: target).image.bytes, transparent.image.bytes)
  }

  /// The profile that many programs wrote for sRGB, with faults that libpng knows: kept as it is.
  func testAProfileWithFaultsIsKept() throws {
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png"))
    XCTAssertFalse(photo.profile.isEmpty)
    XCTAssertEqual(try ImageFile(photo.encoded(as: .png), path: "copy").profile, photo.profile)
  }

  func testConversionBothWays() {
    let image = Image(width: 256, height: 1, channels: 1, bytes: (0...255).map { UInt8($0) })
    let planes = image.planes()
    XCTAssertEqual(planes[0], -1)
    XCTAssertEqual(planes[255], 1)
    XCTAssertEqual(
      Image(planes: planes, width: 256, height: 1).bytes, (0...255).flatMap { [UInt8($0), UInt8($0), UInt8($0)] })
  }
}
