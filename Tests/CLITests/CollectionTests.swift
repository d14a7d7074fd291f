import Foundation
import Pictures
import TestSupport
import XCTest

/// Nothing is left out in silence: every file below the inputs is protected, copied, counted or named.
final class CollectionTests: ProtectTestCase {
  private func summary(_ result: RunResult) throws -> [String: Any] {
    try XCTUnwrap(JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any], result.output)
  }

  private var avif: Data { Data([0, 0, 0, 28]) + Data("ftypavif".utf8) + Data(count: 4) + Data("avifmif1miaf".utf8) }
  private var jpegXL: Data { Data([0, 0, 0, 12]) + Data("JXL \r\n".utf8) + Data([0x87, 10]) }
  private var video: Data { Data([0, 0, 0, 24]) + Data("ftypisom".utf8) + Data(count: 4) + Data("isommp42".utf8) }

  func testKindsAreToldByContents() throws {
    let (jpeg, png) = (try jpegData(syntheticImage()), try encodePNG(syntheticImage(width: 70)))
    for name in ["a.jpg_large", "b.jfi", "c.pjpeg", "no ending", "d.txt", ".hidden.jpg"] {
      try folder.write(jpeg, "in/\(name)")
    }
    try folder.write(png, "in/e.jpg")
    try folder.write(video, "in/film.mp4")
    try folder.write(Data("%PDF-1.7".utf8), "in/letter.pdf")
    try folder.write(Data("words\n".utf8), "in/notes.txt")
    try folder.write(Data(), "in/.nomedia")
    try folder.write(Data([0, 5, 0x16, 7, 0, 2, 0, 0]), "in/._a.jpg")
    let result = try protect(folder.path("in"), output: folder.path("out"), extra: ["--json"])
    XCTAssertEqual(result.status, 0, result.errors)
    let counts = try summary(result)
    XCTAssertEqual(counts["done"] as? Int, 7)
    XCTAssertEqual(
      counts["leftOut"] as? [String: Int], ["video": 1, "PDF": 1, "text": 1, "empty file": 1, "AppleDouble": 1])
    let copies = try contents("out")
    XCTAssertEqual(
      copies.keys.sorted(), [".hidden.jpg", "a.jpg_large", "b.jfi", "c.pjpeg", "d.txt", "e.jpg", "no ending"])
    for (name, copy) in copies {
      XCTAssertEqual(try ImageFile(copy, path: name).type, name == "e.jpg" ? .png : .jpeg)
    }
    let again = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertTrue(again.output.hasPrefix("0 protected, 7 done before, 0 failed\n"), again.output)
    XCTAssertTrue(
      again.output.contains("left out, for they are no pictures: 1 AppleDouble, 1 PDF, 1 empty file, 1 text, 1 video"),
      again.output)
  }

  func testPicturesThatCannotBeReadAreNamed() throws {
    try writePictures("in/a.png")
    try folder.write(jpegXL, "in/scan.jxl")
    try folder.write(Data("8BPS".utf8) + Data([0, 1]), "in/deep/layers.dat")
    try folder.write(video, "in/film.jpg")
    try folder.write(Data("<html>".utf8), "in/page.jpeg")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("in/gone.jpg"), withDestinationPath: "/nowhere/a.jpg")
    let result = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertEqual(result.status, 1)
    for message in [
      "in/scan.jxl: is a picture of the kind JPEG XL, which cannot be read",
      "in/deep/layers.dat: is a picture of the kind Photoshop",
      "in/page.jpeg: ", "in/gone.jpg: cannot be read (No such file or directory)",
    ] {
      XCTAssertTrue(result.errors.contains(message), "\(message): \(result.errors)")
    }
    XCTAssertTrue(result.output.hasPrefix("1 protected, 0 done before, 4 failed"), result.output)
    XCTAssertTrue(result.output.contains("1 video"), result.output)
    for (input, message) in [("film.jpg", "is no picture but of the kind video"), ("nothing", "does not exist")] {
      let alone = try protect(folder.path("in/\(input)"), output: folder.path("out"))
      XCTAssertEqual(alone.status, 1)
      XCTAssertTrue(alone.errors.contains("\(input): \(message)"), alone.errors)
    }
  }

  func testOthersAreCopiedOnRequest() throws {
    try writePictures("in/a.png")
    try folder.write(video, "in/deep/film.mp4")
    try folder.write(Data("mine".utf8), "in/notes.txt")
    try folder.write(jpegXL, "in/scan.jxl")
    try folder.write(Data("other".utf8), "out/notes.txt")
    for expected in ["1 protected, 0 done before, 2 failed", "0 protected, 1 done before, 2 failed"] {
      let result = try protect(folder.path("in"), output: folder.path("out"), extra: ["--copy-others"])
      XCTAssertEqual(result.status, 1)
      XCTAssertTrue(result.output.hasPrefix(expected), result.output)
      XCTAssertTrue(result.output.contains("copied as they are, for they are no pictures: 1"), result.output)
      XCTAssertTrue(result.errors.contains("out/notes.txt: is there already"), result.errors)
      // A picture is never copied as it is.
      XCTAssertEqual(try contents("out").keys.sorted(), ["a.png", "deep/film.mp4", "notes.txt"])
      XCTAssertEqual(try data("out/deep/film.mp4"), video)
      XCTAssertEqual(try data("out/notes.txt"), Data("other".utf8))
    }
    try folder.write(video + Data("longer".utf8), "in/deep/film.mp4")
    _ = try protect(folder.path("in"), output: folder.path("out"), extra: ["--copy-others"])
    XCTAssertEqual(try data("out/deep/film.mp4"), video + Data("longer".utf8))
  }

  func testEachFolderOnce() throws {
    try writePictures("in/a.png", "in/sub/b.png", "elsewhere/c.png")
    func link(_ path: String, _ destination: String) throws {
      try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: destination)
    }
    try link(folder.path("in/again"), folder.path("in"))
    try link(folder.path("in/sub/up"), "..")
    try link(folder.path("in/a link"), folder.path("in/sub"))
    try link(folder.path("in/out of it"), folder.path("elsewhere"))
    try link(folder.path("in/d.png"), "a.png")
    let result = try protect(
      folder.path("in"), folder.path("in/a.png"), folder.path("in"), folder.path("in/sub"), output: folder.path("out"))
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertTrue(result.output.hasPrefix("4 protected, 0 done before, 0 failed"), result.output)
    XCTAssertEqual(try contents("out").keys.sorted(), ["a.png", "d.png", "out of it/c.png", "sub/b.png"])
  }

  func testNamesOfAnyBytes() throws {
    let png = try encodePNG(syntheticImage())
    let names: [[UInt8]] = [
      Array("caf".utf8) + [0xe9] + Array(".png".utf8), [0xff, 0xfe, 0x80], Array("e\u{301}.png".utf8),
      Array("\u{e9}.png".utf8), Array("line\nbreak\u{1b}[31m.png".utf8), Array("-dash.png".utf8),
      Array(repeating: UInt8(ascii: "x"), count: 251) + Array(".png".utf8), Array("back\\slash.png".utf8),
    ]
    try FileManager.default.createDirectory(atPath: folder.path("in"), withIntermediateDirectories: true)
    let odd = Array(folder.path("in/od").utf8) + [0xe9]
    XCTAssertEqual(mkdir(odd.map { CChar(bitPattern: $0) } + [0], 0o755), 0)
    func write(_ bytes: [UInt8]) {
      let file = open(bytes.map { CChar(bitPattern: $0) } + [0], O_WRONLY | O_CREAT | O_EXCL, 0o644)
      XCTAssertGreaterThanOrEqual(file, 0)
      XCTAssertEqual(png.withUnsafeBytes { Foundation.write(file, $0.baseAddress, $0.count) }, png.count)
      close(file)
    }
    for name in names { write(Array(folder.path("in/").utf8) + [UInt8(ascii: "/")] + name) }
    write(odd + Array("/a.png".utf8))
    for expected in ["9 protected, 0 done before, 0 failed", "0 protected, 9 done before, 0 failed"] {
      let result = try protect(folder.path("in"), output: folder.path("out"))
      XCTAssertEqual(result.status, 0, result.errors)
      XCTAssertTrue(result.output.hasPrefix(expected), result.output)
    }
    for name in names.map({ Array("out/".utf8) + $0 }) + [Array("out/od".utf8) + [0xe9] + Array("/a.png".utf8)] {
      let path = Array(folder.path("").utf8) + [UInt8(ascii: "/")] + name
      var status = stat()
      XCTAssertEqual(stat(path.map { CChar(bitPattern: $0) } + [0], &status), 0, String(decoding: name, as: UTF8.self))
    }
    // As arguments, too; what is shown of them harms no terminal.
    let script =
      #"cd "$1/in" && exec "$0" protect $'caf\xe9.png' $'od\xe9' $'no\n\e[31m\xe9' --output "$1/out2" --region image "#
      + #"--refine 0 --perturbation "$1/perturbation.safetensors""#
    let result = try shell(script, [folder.url.path])
    XCTAssertEqual(result.status, 1)
    XCTAssertTrue(result.output.hasPrefix("2 protected, 0 done before, 1 failed"), result.output)
    XCTAssertTrue(result.errors.contains("no\\n\\x1b[31m\\xe9: does not exist"), result.errors)
    XCTAssertFalse(result.errors.contains("\u{1b}"))
  }

  func testDevicesAndPipesAreNotOpened() throws {
    try writePictures("in/a.png")
    XCTAssertEqual(mkfifo(folder.path("in/pipe.jpg"), 0o644), 0)
    let result = try protect(folder.path("in"), output: folder.path("out"), extra: ["--copy-others"])
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertTrue(result.output.contains("1 pipe, socket or device"), result.output)
    for path in [folder.path("in/pipe.jpg"), "/dev/zero"] {
      let alone = try protect(path, output: folder.path("out"))
      XCTAssertEqual(alone.status, 1)
      XCTAssertTrue(alone.errors.contains("is not a regular file"), alone.errors)
    }
  }

  func testWhatMayNotBeReadIsNamed() throws {
    try writePictures("in/a.png", "in/b.png", "in/locked/c.png")
    chmod(folder.path("in/b.png"), 0)
    chmod(folder.path("in/locked"), 0)
    defer { chmod(folder.path("in/locked"), 0o755) }
    XCTAssertEqual(chmod(folder.url.path, 0o777), 0)
    // Root may read anything, so it steps down.
    let script = (geteuid() == 0 ? "exec setpriv --reuid 65534 --regid 65534 --clear-groups" : "exec") + #" "$0" "$@""#
    let result = try shell(
      script, arguments([folder.path("in")], output: folder.path("out"), extra: ["--device", "cpu"]))
    XCTAssertEqual(result.status, 1)
    XCTAssertTrue(result.output.hasPrefix("1 protected, 0 done before, 2 failed"), result.output + result.errors)
    for name in ["in/b.png", "in/locked"] {
      XCTAssertTrue(result.errors.contains("\(name): cannot be read (Permission denied)"), result.errors)
    }
  }

  func testEveryMessageNamesItsFile() throws {
    try folder.write(try encodePNG(syntheticImage(width: 70_000, height: 2, channels: 1)), "in/wide.png")
    try writePictures("in/a.png")
    let wide = try protect(folder.path("in"), output: folder.path("out"), extra: ["--format", "jpeg"])
    XCTAssertEqual(wide.status, 1)
    XCTAssertTrue(
      wide.errors.contains("in/wide.png: has 70000 x 2 pixels; a JPEG file has at most 65500 a side"), wide.errors)
    XCTAssertEqual(try contents("out").keys.sorted(), ["a.jpg"])
    try folder.write(try encodePNG(syntheticImage(width: 1200, height: 900)), "large/large.png")
    try writePictures("large/small.png")
    let large = try protect(folder.path("large"), output: folder.path("out"), extra: ["--memory-limit", "2"])
    XCTAssertEqual(large.status, 1)
    XCTAssertTrue(large.errors.contains("large/large.png: "), large.errors)
    XCTAssertTrue(large.output.hasPrefix("1 protected, 0 done before, 1 failed"), large.output)
  }

  func testNothingToTellWhereNothingWasDone() throws {
    try folder.write(Data("text".utf8), "in/a.jpg")
    let result = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertEqual(result.status, 1)
    XCTAssertEqual(result.output, "0 protected, 0 done before, 1 failed\n")
    try folder.write(Data("text".utf8), "empty/notes.txt")
    let none = try protect(folder.path("empty"), output: folder.path("other"))
    XCTAssertEqual(none.status, 1)
    XCTAssertFalse(folder.files.contains("other"))
    XCTAssertTrue(none.errors.contains("empty: no picture that can be read was found"), none.errors)
  }
}
