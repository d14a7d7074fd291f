import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

final class AttributeListTests: XCTestCase {
  private func list(_ text: String, selecting: [String]? = nil) throws -> AttributeList {
    try AttributeList(Data(text.utf8), path: "list", selecting: selecting)
  }

  private func requireRefusal(_ text: String, selecting: [String]? = nil, _ message: String, line: UInt = #line) {
    XCTAssertThrowsError(try list(text, selecting: selecting), line: line) {
      XCTAssertTrue("\($0)".hasPrefix("list: ") && "\($0)".contains(message), "\($0)", line: line)
    }
  }

  func testKindsOfText() throws {
    let plain = try list("2\nA B\nx.jpg 1 -1\ny.jpg -1 1\n")
    XCTAssertEqual(plain.files, ["x.jpg", "y.jpg"])
    XCTAssertEqual(plain.labels, [true, false, false, true])
    for text in [
      "2\r\nA B\r\nx.jpg 1 -1\r\ny.jpg -1 1\r\n", "\u{FEFF}2\nA  B \n\nx.jpg  1 -1\n\n\ny.jpg\t0 1",
      "2\rA B\rx.jpg 1 -1\ry.jpg -1 1",
    ] {
      let other = try list(text)
      XCTAssertEqual(other.attributes, plain.attributes)
      XCTAssertEqual(other.files, plain.files)
      XCTAssertEqual(other.labels, plain.labels)
    }
    let chosen = try list("2\nA B\nx.jpg 1 -1\ny.jpg -1 1\n", selecting: ["B"])
    XCTAssertEqual(chosen.labels, [false, true])
  }

  func testWhatIsRefused() {
    requireRefusal("", "not a list in CelebA's format")
    requireRefusal("A B\nx 1 1", "not a list in CelebA's format")
    requireRefusal("1\nA B\n", "lists no image")
    requireRefusal("1\nA A\nx 1 1\n", "line 2 names the attribute A twice")
    requireRefusal("1\nA\nx 1\n", selecting: ["C"], "has no attribute C; it has A")
    requireRefusal("1\nA B\nx 1 1\ny 1\n", "line 4 does not hold a file and 2 values")
    requireRefusal("1\nA B\nx 1 1 1\n", "line 3 does not hold")
    requireRefusal("1\nA B\nx 1 99999999999999999999\n", "line 3 does not hold")
    requireRefusal("1\nA\n../x 1\n", "line 3 names a file outside of the images' folder")
    requireRefusal("1\nA\n/etc/passwd 1\n", "line 3 names a file outside of the images' folder")
    XCTAssertThrowsError(try AttributeList(Data("1\nA\nx\u{0}".utf8) + [0xff] + Data(" 1\n".utf8), path: "list")) {
      XCTAssertTrue("\($0)".contains("line 3 is not UTF-8"), "\($0)")
    }
  }

  /// A hundred thousand attributes, all of them asked for, and two million rows.
  func testLargeLists() throws {
    let names = (0..<100_000).map { "a\($0)" }
    let row = String(repeating: " -1", count: names.count - 1)
    let wide = try list(
      "1\n" + names.joined(separator: " ") + "\nx 1" + row + "\ny 1" + row, selecting: names.reversed())
    XCTAssertEqual(wide.labels.count { $0 }, 2)
    XCTAssertEqual(wide.labels.last, true)

    var text = Data("2000000\nA B C\n".utf8)
    for i in 0..<2_000_000 { text += Data("\(i).jpg 1 -1 1\n".utf8) }
    let long = try AttributeList(text, path: "list")
    XCTAssertEqual(long.files.count, 2_000_000)
    XCTAssertEqual(long.files.last, "1999999.jpg")
    XCTAssertEqual(long.labels.count { $0 }, 4_000_000)
  }

  func testPartsOfADataset() throws {
    let folder = try TemporaryFolder()
    try folder.write(Data("3\nA B\nx 1 -1\ny -1 1\nz 1 1\n".utf8), "list_attr_x.txt")
    let whole = try Dataset(labelled: folder.url)
    XCTAssertEqual(whole.items.map(\.labels), [[1, 0], [0, 1], [1, 1]])
    XCTAssertEqual(whole[1..<9].items.map(\.url.lastPathComponent), ["y", "z"])
    XCTAssertEqual(whole[1..<9][1..<2].items.map(\.labels), [[1, 1]])
    XCTAssertEqual(whole[7..<9].count, 0)
  }

  /// The same faces in another folder, whichever of the two has labels: of one with them pictures are named from `images` on.
  func testFacesInAnotherFolder() throws {
    let folder = try TemporaryFolder()
    let (list, picture) = (Data("2\nA\nx.jpg 1\ny.jpg -1\n".utf8), Data([0x89, 0x50, 0x4e, 0x47]))
    for (name, type) in [("labelled", "jpg"), ("bare", "png")] {
      for face in ["x", "y"] { try folder.write(picture, "\(name)/images/\(face).\(type)") }
    }
    try folder.write(list, "labelled/list_attr.txt")
    let (labelled, bare) = (folder.url.appendingPathComponent("labelled"), folder.url.appendingPathComponent("bare"))
    for (faces, other) in [
      (try Dataset(labelled: labelled), bare), (try Dataset(images: bare), labelled),
      (try Dataset(images: bare.appendingPathComponent("images")), labelled),
    ] {
      let type = other == bare ? "png" : "jpg"
      XCTAssertEqual(
        try faces.moved(to: other).items.map(\.url.path), ["x", "y"].map { "\(other.path)/images/\($0).\(type)" })
    }
    try folder.write(picture, "bare/images/z.png")
    XCTAssertThrowsError(try Dataset(images: bare).moved(to: labelled)) {
      XCTAssertTrue("\($0)".contains("labelled/images/z.png: does not exist, nor its like of another type"), "\($0)")
    }
  }
}
