import Foundation
import Kernels
import SystemPackage
import TestSupport
import XCTest

/// Files that are written and named.
final class FileTests: XCTestCase {
  private let folder = try! TemporaryFolder()

  func testTextForTerminals() {
    for (text, shown) in [
      ("plain", "plain"), ("Grüße 😀.jpg", "Grüße 😀.jpg"), ("a\nb\r\t", "a\\nb\\r\\t"), ("\u{1b}[31m", "\\x1b[31m"),
      ("\u{85}\u{2028}\u{202e}gpj", "\\u{85}\\u{2028}\\u{202e}gpj"), ("e\u{301}", "e\u{301}"),
    ] {
      XCTAssertEqual(text.shown, shown)
      XCTAssertEqual(FilePath(text).shown, shown)
    }
    let latin: [CChar] = [0x63, CChar(bitPattern: 0xe9), 0x2f, CChar(bitPattern: 0xc3), 0]
    XCTAssertEqual(FilePath(platformString: latin).shown, "c\\xe9/\\xc3")
    XCTAssertEqual("\(FileError("a\u{7}b", "is\u{0}odd"))", "a\\x07b: is\\x00odd")
  }

  func testPathsOfAnyBytesInJSON() throws {
    let latin: [CChar] = [0x63, CChar(bitPattern: 0xe9), 0]
    for (path, text) in [
      (FilePath("a/b\n\"é"), #"["a/b\n\"é"]"#), (FilePath(platformString: latin), #"[{"base64":"Y+k="}]"#),
      (FilePath("e\u{301}"), "[\"e\u{301}\"]"),
    ] {
      let encoder = JSONEncoder()
      encoder.outputFormatting = .withoutEscapingSlashes
      let json = try encoder.encode([RecordedPath(path)])
      XCTAssertEqual(json, Data(text.utf8))
      XCTAssertEqual(try JSONDecoder().decode([RecordedPath].self, from: json), [RecordedPath(path)])
    }
    // Texts that only look alike are names of different files.
    XCTAssertNotEqual(RecordedPath(FilePath("e\u{301}")), RecordedPath(FilePath("\u{e9}")))
  }

  func testAtomicWritesLeaveNothingBehind() throws {
    let long = String(repeating: "n", count: 255)
    try writeAtomically(Data("first".utf8), to: folder.url.appendingPathComponent("deep/\(long)"))
    try writeAtomically(Data("second".utf8), to: folder.url.appendingPathComponent("deep/\(long)"))
    XCTAssertEqual(try Data(contentsOf: folder.url.appendingPathComponent("deep/\(long)")), Data("second".utf8))
    try folder.write(Data(), "taken/file")
    XCTAssertThrowsError(try writeAtomically(Data("x".utf8), to: folder.url.appendingPathComponent("taken"))) {
      XCTAssertTrue("\($0)".contains("taken: cannot be written (Is a directory)"), "\($0)")
    }
    XCTAssertEqual(folder.files, ["deep", "deep/\(long)", "taken", "taken/file"])
  }

  func testWhatAKilledProcessLeftIsRemovedAndWhatIsInWorkStays() throws {
    try folder.write(Data("half".utf8), ".tsdf-abc.partial")
    let output = try OutputFolder(FilePath(folder.url.path))
    XCTAssertEqual(folder.files, [])
    let partial = try output.partial(Data("whole".utf8), for: "a")
    _ = try OutputFolder(FilePath(folder.url.path))
    try output.place(partial, at: "deep/a", isReplacing: false)
    XCTAssertEqual(folder.files, ["deep", "deep/a"])
    let other = try output.partial(Data("other".utf8), for: "deep/a")
    XCTAssertThrowsError(try output.place(other, at: "deep/a", isReplacing: false)) {
      XCTAssertTrue("\($0)".contains("deep/a: is there already"), "\($0)")
    }
    for name in ["../a", "/tmp/a", "deep/../a", ""] {
      XCTAssertThrowsError(try output.write(Data(), to: FilePath(name)), name)
    }
    XCTAssertEqual(try Data(contentsOf: folder.url.appendingPathComponent("deep/a")), Data("whole".utf8))
  }

  func testDigestsOfFiles() throws {
    try folder.write(Data((0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }), "a")
    let file = try FileDescriptor.open(FilePath(folder.path("a")), .readOnly)
    defer { try? file.close() }
    let data = try Data(contentsOf: folder.url.appendingPathComponent("a"))
    XCTAssertEqual(try sha256(of: file), sha256(data).hexadecimal)
    XCTAssertEqual(try sha256(of: file, first: 1_500_000), sha256(data.prefix(1_500_000)).hexadecimal)
    XCTAssertEqual(
      sha256(Data("abc".utf8)).hexadecimal, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }
}
