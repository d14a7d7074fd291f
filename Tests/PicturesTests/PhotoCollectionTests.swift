import Foundation
import Kernels
import Pictures
import SystemPackage
import TestSupport
import XCTest

final class PhotoCollectionTests: XCTestCase {
  private let folder = try! TemporaryFolder()

  private func writeImages(_ names: String...) throws {
    let png = try encodePNG(Image(width: 1, height: 1, channels: 1, bytes: [7]))
    for name in names { try folder.write(png, name) }
  }

  func testLabelsComeWithTheirPhotos() throws {
    try writeImages("set/images/a.png", "set/images/sub/b.png", "set/images/new.png", "set/other.png", "plain/a.png")
    try folder.write(Data("2\nA B\na.png 1 -1\nsub/b.png -1 1\n".utf8), "set/list_attr_x.txt")
    for input in ["set", "set/images", "set/"] {
      let photos = try PhotoCollection([folder.path(input), folder.path("plain")])
      XCTAssertEqual(photos.items.map(\.relativePath), ["a.png", "new.png", "sub/b.png", "a.png"])
      XCTAssertEqual(photos.attributes, ["A", "B"])
      XCTAssertEqual(photos.labels, [[true, false], nil, [false, true], nil])
    }
    let unlabelled = try PhotoCollection([folder.path("plain"), folder.path("nowhere")])
    XCTAssertEqual(unlabelled.attributes, [])
    XCTAssertEqual(unlabelled.labels, [nil])
    XCTAssertEqual(unlabelled.failures.count, 1)

    try folder.write(Data("1\nA C\na.png 1 -1\n".utf8), "plain/list_attr.txt")
    XCTAssertThrowsError(try PhotoCollection([folder.path("set"), folder.path("plain")])) {
      XCTAssertTrue("\($0)".contains("plain/list_attr.txt: has other attributes than"), "\($0)")
    }
  }

  func testAListIsReadAsItWasWritten() throws {
    var list = AttributeList(attributes: ["A", "B"])
    list.append("x/1.png", labels: [true, false])
    list.append("2.png", labels: [false, false])
    XCTAssertEqual(list.text, "2\nA B\nx/1.png 1 -1\n2.png -1 -1\n")
    let read = try AttributeList(Data(list.text.utf8), path: "list")
    XCTAssertEqual(read.attributes, list.attributes)
    XCTAssertEqual(read.files, list.files)
    XCTAssertEqual(read.labels, list.labels)
  }
}
