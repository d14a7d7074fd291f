import Foundation
import Kernels
import SystemPackage
import TestSupport
import XCTest

/// A journal says what was said of each key, whatever else is in its file.
final class JournalTests: XCTestCase {
  private struct Line: JournalEntry, Equatable {
    var name: RecordedPath, value: Int
    var parts: [[String: String]] = []

    static var journalName: String { "journal" }
    static var keyField: String { "name" }
    var key: FilePath { name.path }

    init(_ name: FilePath, _ value: Int) { (self.name, self.value) = (RecordedPath(name), value) }
  }

  private var folder: TemporaryFolder!

  override func setUpWithError() throws { folder = try TemporaryFolder() }

  private func open() throws -> Journal<Line> { try Journal(in: OutputFolder(FilePath(folder.url.path))) }

  private func values(_ name: FilePath) throws -> [Int] {
    let written = try open().lines(of: name).map(\.value)
    XCTAssertEqual(JournalReader<Line>(in: FilePath(folder.url.path))?.lines(of: name).map(\.value), written)
    return written
  }

  func testNamesOfAllKinds() throws {
    let names: [FilePath] = [
      "a", "deep/b.png", "with \"quotes\"", "back\\slash", "\"name\":\"a\"", "Jörg",
      FilePath(bytes: [0x66, 0xff, 0xfe]),
    ]
    do {
      let journal = try open()
      for round in 0..<2 { for (index, name) in names.enumerated() { try journal.add(Line(name, 10 * round + index)) } }
      for (index, name) in names.enumerated() {
        XCTAssertEqual(journal.lines(of: name).map(\.value), [index, 10 + index])
      }
    }
    for (index, name) in names.enumerated() { XCTAssertEqual(try values(name), [index, 10 + index], "\(name)") }
    XCTAssertEqual(try open().entries.map(\.value), Array(0..<names.count) + (0..<names.count).map { 10 + $0 })
  }

  func testWhatIsNoLine() throws {
    func line(_ name: String, _ value: Int) -> String { #"{"name":"\#(name)","parts":[],"value":\#(value)}"# }
    // A space, another order, a line of the wrong type, halves, bytes that are no text, nothing.
    let parts = #"{"name":"n","parts":[{"text":",\"name\":\"inner\""}],"value":3}"#
    let spaced = #" { "value" : 4 , "name" : "s", "parts":[]} "#
    var data = Data(
      [
        line("a", 1), parts, spaced, #"{"name":"w","value":"text"}"#, #"{"name":"#, #""half","value":1}"#, "",
        line("a", 2),
      ]
      .joined(separator: "\n").utf8)
    data += [10, 0xff, 0, 0xfe, 10, 13, 10] + Array(line("r", 5).utf8) + [13, 10]
    data += Array(line("cut", 6).utf8).dropLast(3)
    try folder.write(data, "journal")
    let journal = try open()
    XCTAssertEqual(journal.damagedLineCount, 4)
    for (name, expected) in [
      ("a", [1, 2]), ("n", [3]), ("s", [4]), ("r", [5]), ("cut", []), ("w", []), ("inner", []), ("", []),
    ] {
      XCTAssertEqual(journal.lines(of: FilePath(name)).map(\.value), expected, name)
    }
    // The one of the wrong type is counted once it was looked at.
    XCTAssertEqual(journal.damagedLineCount, 5)
    try journal.add(Line("after", 7))
    XCTAssertEqual(journal["after"]?.value, 7)
  }

  /// Lines longer than the pieces that files are read in, and one that is longer than any.
  func testLongLines() throws {
    var long = Line("long", 1)
    long.parts = [["text": String(repeating: "x", count: 3 << 20)]]
    try open().add(long)
    try open().add(Line("b", 2))
    XCTAssertEqual(try values("long"), [1])
    XCTAssertEqual(try values("b"), [2])
    let url = folder.url.appendingPathComponent("journal")
    try (Data(contentsOf: url) + Data(repeating: 0x61, count: 18 << 20) + [10]).write(to: url)
    try open().add(Line("c", 3))
    XCTAssertEqual(try open().damagedLineCount, 1)
    for (name, expected) in [("long", 1), ("b", 2), ("c", 3)] { XCTAssertEqual(try values(FilePath(name)), [expected]) }
  }

  func testEveryLineOfMany() throws {
    let count = 5000
    let text = (0..<2 * count).map { #"{"name":"\#($0 % count)/photo.jpg","parts":[],"value":\#($0)}"# + "\n" }.joined()
    try folder.write(Data(text.utf8), "journal")
    let journal = try open()
    XCTAssertEqual(journal.damagedLineCount, 0)
    for index in 0..<count {
      XCTAssertEqual(journal.lines(of: FilePath("\(index)/photo.jpg")).map(\.value), [index, count + index])
    }
    XCTAssertEqual(journal.lines(of: "5000/photo.jpg"), [])
  }

  func testShardsReadWhatOthersSaid() throws {
    struct GivenUp: Error {}
    let output = try OutputFolder(FilePath(folder.url.path))
    func open(_ index: Int) throws -> Journal<Line> {
      try Journal(in: output, shard: XCTUnwrap(Shard(index, of: 2))) { throw GivenUp() }
    }
    do {
      let (first, second) = (try open(0), try open(1))
      try first.add(Line("a", 1))
      try second.add(Line("b", 2))
      XCTAssertNil(second["a"])
      try second.refresh()
      XCTAssertEqual(second["a"]?.value, 1)
      XCTAssertEqual(second["b"]?.value, 2)
      XCTAssertEqual(JournalReader<Line>(in: FilePath(folder.url.path))?.lines(of: "a").map(\.value), [1])
      // Neither the same shard nor a run without shards beside them.
      XCTAssertThrowsError(try open(0)) { XCTAssertTrue($0 is GivenUp, "\($0)") }
      XCTAssertThrowsError(try Journal<Line>(in: output) { throw GivenUp() }) { XCTAssertTrue($0 is GivenUp, "\($0)") }
    }
    XCTAssertEqual(
      folder.files.filter { $0.hasPrefix("journal") }.sorted(), ["journal", "journal.0-of-2", "journal.1-of-2"])
    // A line that a crash cut off costs nothing else when files are put together.
    try (data("journal.0-of-2") + Data(#"{"name":"#.utf8)).write(
      to: folder.url.appendingPathComponent("journal.0-of-2"))
    try folder.write(Data("other".utf8), "journal.0-of-02")
    XCTAssertEqual(try values("a"), [1])
    XCTAssertEqual(try values("b"), [2])
    XCTAssertEqual(folder.files.filter { $0.hasPrefix("journal") }.sorted(), ["journal", "journal.0-of-02"])
    // A shard does so too where nobody else is at work.
    try open(1).add(Line("c", 3))
    let last = try open(0)
    XCTAssertEqual(["a", "b", "c"].map { last[FilePath($0)]?.value }, [1, 2, 3])
    XCTAssertEqual(
      folder.files.filter { $0.hasPrefix("journal") }.sorted(), ["journal", "journal.0-of-02", "journal.0-of-2"])
  }

  private func data(_ name: String) throws -> Data { try Data(contentsOf: folder.url.appendingPathComponent(name)) }

  func testEveryFileIsInOneShard() throws {
    let shards = (0..<5).compactMap { Shard($0, of: 5) }
    var counts = [Int](repeating: 0, count: 5)
    for index in 0..<1000 {
      let owners = shards.filter { $0.contains(FilePath("/photos/\(index).jpg")) }
      XCTAssertEqual(owners.count, 1)
      counts[owners[0].index] += 1
    }
    XCTAssertGreaterThan(counts.min()!, 150)
    XCTAssertNil(Shard(5, of: 5))
    XCTAssertNil(Shard(-1, of: 5))
    XCTAssertNil(Shard(0, of: 0))
  }
}
