import Foundation
import Kernels
import Pictures
import SystemPackage
import TestSupport
import XCTest

final class WorkListTests: XCTestCase {
  private let folder = try! TemporaryFolder()

  /// However arguments name a file, it is worked on once.
  func testEachFileOnce() throws {
    let png = try encodePNG(Image(width: 1, height: 1, channels: 1, bytes: [7]))
    for name in ["a.png", "sub/b.png"] { try folder.write(png, "set/\(name)") }
    for (link, target) in [("other", "set/sub"), ("set/loop", "."), ("set/c.png", "a.png")] {
      try FileManager.default.createSymbolicLink(atPath: folder.path(link), withDestinationPath: target)
    }
    let (set, b) = (folder.path("set"), folder.path("set/sub/b.png"))
    func names(_ arguments: String...) throws -> [String] {
      let work = try WorkList(arguments)
      XCTAssertEqual(work.failures.count, 0)
      XCTAssertEqual(Set(work.items.map(\.path)).count, work.items.count)
      return work.items.map(\.name)
    }
    XCTAssertEqual(try names(set), ["a.png", "c.png", "sub/b.png"])
    XCTAssertEqual(try names(set, set), ["a.png", "c.png", "sub/b.png"])
    XCTAssertEqual(try names(b, set), ["b.png", "a.png", "c.png"])
    XCTAssertEqual(try names(set, b), ["a.png", "c.png", "sub/b.png"])
    XCTAssertEqual(try names(b, b), ["b.png"])
    XCTAssertEqual(try names(folder.path("other/b.png"), set), ["b.png", "a.png", "c.png"])
    XCTAssertEqual(try names(folder.path("other"), set), ["b.png", "a.png", "c.png"])
  }

  /// Items come out as they went in, whatever their names are.
  func testItemsAreKept() {
    let names: [(path: [UInt8], relative: [UInt8])] = [
      (Array("/x/a.png".utf8), Array("a.png".utf8)), (Array("/x/sub/b.png".utf8), Array("sub/b.png".utf8)),
      ([0x2F, 0xFF, 0x2F, 0xC3, 0x28], [0xC3, 0x28]), (Array("/x/sub/c.png".utf8), Array("7.png".utf8)),
      (Array("/x/sub/c.png".utf8), Array("sub/c.png".utf8)),
    ]
    let items = zip(names, [FileKind.png, .jpeg, .text, .gif, .other]).map {
      WorkList.Item(path: FilePath(bytes: $0.path), relativePath: FilePath(bytes: $0.relative), kind: $1)
    }
    let kept = WorkList.Items(items)
    XCTAssertEqual(kept.count, items.count)
    XCTAssertEqual(kept.map(\.path), items.map(\.path))
    XCTAssertEqual(kept.map(\.relativePath), items.map(\.relativePath))
    XCTAssertEqual(kept.map(\.kind), items.map(\.kind))
  }
}
