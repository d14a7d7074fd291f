import Foundation
import Pictures
import TestSupport
import XCTest

/// Nothing is ever lost: whatever the folders' relation, tsdf replaces no file but a copy that it made and nobody changed.
final class OutputSafetyTests: ProtectTestCase {
  private var journal: String { "out/.tsdf-journal.jsonl" }

  private func requireNamed(_ result: RunResult, _ names: String..., line: UInt = #line) {
    XCTAssertEqual(result.status, 1, result.errors, line: line)
    for name in names {
      XCTAssertTrue(
        result.errors.contains("\(name): is there already, and no journal says that tsdf made it"), result.errors,
        line: line)
    }
  }

  func testFilesThatTSDFDidNotMakeStay() throws {
    try writePictures("clash/2024/a.jpg", "clash/2024/b.jpg", "clash/a.jpg", "clash/best.png")
    let before = try contents("clash")
    // The input in the output folder.
    let result = try protect(folder.path("clash/2024"), output: folder.path("clash"))
    requireNamed(result, "clash/a.jpg")
    XCTAssertTrue(result.output.hasPrefix("1 protected, 0 done before, 1 failed"), result.output)
    XCTAssertEqual(try contents("clash").filter { $0.key != "b.jpg" }, before)
    XCTAssertEqual(try contents("clash").count, before.count + 1)
    let again = try protect(folder.path("clash/2024"), output: folder.path("clash"))
    XCTAssertTrue(again.output.hasPrefix("0 protected, 1 done before, 1 failed"), again.output)
    XCTAssertEqual(try contents("clash").filter { $0.key != "b.jpg" }, before)
  }

  func testOutputFolderThatIsTheInput() throws {
    try writePictures("in/a.png", "in/deep/b.jpg")
    let before = try contents("in")
    for output in ["in", "in/../in"] {
      requireNamed(try protect(folder.path("in"), output: folder.path(output)), "a.png", "deep/b.jpg")
      XCTAssertEqual(try contents("in"), before)
    }
    requireNamed(try protect(folder.path("in/a.png"), output: folder.path("in")), "a.png")
    // Under another type there is room beside the original, and the copy is not protected again.
    let beside = ["--format", "jpeg"]
    requireNamed(try protect(folder.path("in"), output: folder.path("in"), extra: beside), "deep/b.jpg")
    XCTAssertNotNil(try contents("in")["a.jpg"])
    let again = try protect(folder.path("in"), output: folder.path("in"), extra: beside)
    XCTAssertTrue(again.output.hasPrefix("0 protected, 1 done before, 1 failed"), again.output)
    XCTAssertTrue(again.output.contains("left out, for tsdf made them: 1"), again.output)
    XCTAssertEqual(try contents("in").filter { $0.key != "a.jpg" }, before)
  }

  func testOutputInTheInputIsLeftOut() throws {
    try writePictures("in/a.jpg", "in/sub/b.png")
    let first = try protect(folder.path("in"), output: folder.path("in/out"))
    XCTAssertTrue(first.output.hasPrefix("2 protected, 0 done before, 0 failed"), first.output + first.errors)
    let made = try contents("in")
    let second = try protect(folder.path("in"), output: folder.path("in/out"))
    XCTAssertTrue(second.output.hasPrefix("0 protected, 2 done before, 0 failed"), second.output)
    XCTAssertEqual(try contents("in"), made)
    XCTAssertEqual(made.keys.sorted(), ["a.jpg", "out/a.jpg", "out/sub/b.png", "sub/b.png"])
    // To another folder, those copies are not photos either.
    let other = try protect(folder.path("in"), output: folder.path("other"))
    XCTAssertTrue(other.output.hasPrefix("2 protected, 0 done before, 0 failed"), other.output)
    XCTAssertTrue(other.output.contains("left out, for tsdf made them: 2"), other.output)
    XCTAssertEqual(try contents("other").keys.sorted(), ["a.jpg", "sub/b.png"])
  }

  func testInputsOfOneNameAreKeptApart() throws {
    try writePictures("cards/100/x.jpg", "cards/101/x.jpg", "more/101/x.jpg")
    // In one run, in two, and again.
    for _ in 0..<2 {
      let result = try protect(folder.path("cards/100"), folder.path("cards/101"), output: folder.path("out"))
      XCTAssertEqual(result.status, 0, result.errors)
    }
    let first = try contents("out")
    XCTAssertEqual(first.keys.sorted(), ["101/x.jpg", "x.jpg"])
    XCTAssertNotEqual(first["101/x.jpg"], first["x.jpg"])
    XCTAssertEqual(try protect(folder.path("more/101"), output: folder.path("out")).status, 0)
    let second = try contents("out")
    XCTAssertEqual(second.keys.sorted(), ["101/x.jpg", "more/101/x.jpg", "x.jpg"])
    XCTAssertEqual(second.filter { $0.key != "more/101/x.jpg" }, first)
    let alone = try protect(folder.path("cards/101/x.jpg"), output: folder.path("out"))
    XCTAssertTrue(alone.output.hasPrefix("0 protected, 1 done before"), alone.output)
    // An input that was moved keeps its name.
    try FileManager.default.moveItem(atPath: folder.path("cards"), toPath: folder.path("moved"))
    let moved = try protect(folder.path("moved/100"), output: folder.path("out"))
    XCTAssertTrue(moved.output.hasPrefix("0 protected, 1 done before"), moved.output)
    XCTAssertEqual(try contents("out"), second)
  }

  func testTypesThatBecomeOneAreKeptApart() throws {
    try writePictures("in/a.png", "in/a.jpg")
    for expected in ["2 protected, 0 done before", "0 protected, 2 done before"] {
      let result = try protect(folder.path("in"), output: folder.path("out"), extra: ["--format", "png"])
      XCTAssertEqual(result.status, 0, result.errors)
      XCTAssertTrue(result.output.hasPrefix(expected), result.output)
    }
    XCTAssertEqual(try contents("out").keys.sorted(), ["a.jpg.png", "a.png"])
  }

  func testLinksInTheOutputAreNotFollowed() throws {
    try writePictures("in/deep/a.png", "in/b.png", "in/c.png", "elsewhere/b.png")
    let elsewhere = try contents("elsewhere")
    try FileManager.default.createDirectory(atPath: folder.path("out"), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("out/deep"), withDestinationPath: folder.path("elsewhere"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("out/b.png"), withDestinationPath: folder.path("elsewhere/b.png"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("out/.c.png.partial"), withDestinationPath: folder.path("elsewhere/b.png"))
    let result = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertEqual(result.status, 1)
    XCTAssertTrue(result.errors.contains("out/deep: is a symbolic link"), result.errors)
    XCTAssertTrue(
      result.errors.contains("out/b.png: is there already, and no journal says that tsdf made it"), result.errors)
    XCTAssertTrue(result.output.hasPrefix("1 protected, 0 done before, 2 failed"), result.output)
    XCTAssertEqual(try contents("elsewhere"), elsewhere)

    // A journal that leads elsewhere.
    try folder.write(Data("mine\n".utf8), "notes.txt")
    try FileManager.default.createDirectory(atPath: folder.path("linked"), withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("linked/.tsdf-journal.jsonl"), withDestinationPath: folder.path("notes.txt"))
    let linked = try protect(folder.path("in"), output: folder.path("linked"))
    XCTAssertEqual(linked.status, 1)
    XCTAssertTrue(
      linked.errors.contains(".tsdf-journal.jsonl: cannot be written (it is a symbolic link"), linked.errors)
    XCTAssertEqual(try data("notes.txt"), Data("mine\n".utf8))
    XCTAssertEqual(try contents("linked"), [:])
  }

  func testCopiesThatWereCutAreMadeAnewAndEditedOnesStay() throws {
    try writePictures("in/empty.jpg", "in/cut.png", "in/edited.jpg", "in/longer.png", "in/shorter.png", "in/whole.png")
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).status, 0)
    let made = try contents("out")
    let edited = try jpegData(syntheticImage(width: 50, height: 60))
    let longer = try XCTUnwrap(made["longer.png"]) + Data("a comment".utf8)
    var shorter = try XCTUnwrap(made["shorter.png"]).dropLast(30)
    shorter[shorter.count / 2] ^= 1
    try folder.write(Data(), "out/empty.jpg")
    try folder.write(try XCTUnwrap(made["cut.png"]).dropLast(100), "out/cut.png")
    try folder.write(edited, "out/edited.jpg")
    try folder.write(longer, "out/longer.png")
    try folder.write(shorter, "out/shorter.png")
    for expected in ["2 protected, 1 done before, 3 failed", "0 protected, 3 done before, 3 failed"] {
      let result = try protect(folder.path("in"), output: folder.path("out"))
      XCTAssertEqual(result.status, 1)
      XCTAssertTrue(result.output.hasPrefix(expected), result.output + result.errors)
      for name in ["edited.jpg", "longer.png", "shorter.png"] {
        XCTAssertTrue(result.errors.contains("out/\(name): was changed since tsdf made it"), result.errors)
      }
      let now = try contents("out")
      for name in ["empty.jpg", "cut.png", "whole.png"] { XCTAssertEqual(now[name], made[name], name) }
      XCTAssertEqual([now["edited.jpg"], now["longer.png"], now["shorter.png"]], [edited, longer, shorter])
    }
    // Under other settings, too, only what tsdf made and nobody changed is replaced.
    let other = try protect(folder.path("in"), output: folder.path("out"), extra: ["--epsilon", "0.03"])
    XCTAssertTrue(other.output.hasPrefix("3 protected, 0 done before, 3 failed"), other.output)
    XCTAssertEqual(try data("out/edited.jpg"), edited)
  }

  func testCopyThatTheOriginalReplacedIsNamed() throws {
    try writePictures("in/a.png")
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).status, 0)
    try folder.write(try data("in/a.png"), "out/a.png")
    let result = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertEqual(result.status, 1)
    XCTAssertTrue(result.errors.contains("out/a.png: was changed since"), result.errors)
    XCTAssertTrue(result.output.hasPrefix("0 protected, 0 done before, 1 failed"), result.output)
  }

  func testDamagedLineCostsThatLineOnly() throws {
    let names = (0..<6).map { "in/\($0).png" }
    for (index, name) in names.enumerated() { try writePictures(name, firstWidth: 40 + index) }
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).status, 0)
    let (made, whole) = (try contents("out"), try data(journal))
    let lines = whole.split(separator: 10).map { Data($0) }
    /// The journal with all lines of one copy replaced.
    func damaged(_ copy: String, _ bytes: [UInt8]) -> Data {
      Data(
        lines.map { String(decoding: $0, as: UTF8.self).contains("\"output\":\"\(copy)\"") ? Data(bytes) : $0 }.joined(
          separator: [10]) + [10])
    }
    let withReturns = Data(lines.map { $0 + [13] }.joined(separator: [10]) + [10])
    for (text, expected) in [
      (damaged("2.png", [0xff, 0xfe, 0x80]), "1 protected, 5 done before"),
      (damaged("3.png", Array(0...255).filter { $0 != 10 }), "1 protected, 5 done before"),
      (damaged("1.png", Array("{\"output\":".utf8)), "1 protected, 5 done before"),
      (withReturns, "0 protected, 6 done before"), (whole.dropLast(20), "0 protected, 6 done before"),
      (whole + [0, 0, 7], "0 protected, 6 done before"),
    ] {
      try folder.write(text, journal)
      let result = try protect(folder.path("in"), output: folder.path("out"))
      XCTAssertEqual(result.status, 0, result.errors)
      XCTAssertTrue(result.output.hasPrefix(expected + ", 0 failed"), result.output)
      XCTAssertEqual(try contents("out"), made)
    }
  }

  func testLinesOfEarlierVersions() throws {
    try writePictures("in/a.png", "in/b.png")
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).status, 0)
    let made = try contents("out")
    let foreign = try encodePNG(syntheticImage(width: 41, height: 31))
    try folder.write(foreign, "out/b.png")
    let lines = ["a", "b"].map {
      #"{"faces":0,"output":"\#($0).png","psnr":30.1,"seconds":0.1,"settings":"s","source":"t","ssim":0.9}"#
    }
    try folder.write(Data(lines.joined(separator: "\n").utf8), journal)
    // What is as it would be made now is taken over; what is not may be somebody's.
    let result = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertEqual(result.status, 1)
    XCTAssertTrue(result.output.hasPrefix("1 protected, 0 done before, 1 failed"), result.output)
    XCTAssertTrue(
      result.errors.contains("out/b.png: was changed since tsdf made it, or made by an earlier version"), result.errors)
    XCTAssertEqual(try contents("out"), ["a.png": try XCTUnwrap(made["a.png"]), "b.png": foreign])
  }

  func testWhatCannotBeWrittenIsSaidBeforeAnyWork() throws {
    try writePictures("in/a.png", "in/b.png")
    try folder.write(Data("a file".utf8), "file")
    try FileManager.default.createDirectory(
      atPath: folder.path("out/.tsdf-journal.jsonl"), withIntermediateDirectories: true)
    for (output, message) in [
      ("file/out", "file/out: cannot be made (Not a directory)"), ("file", "file: cannot be made (Not a directory)"),
      ("out", ".tsdf-journal.jsonl: cannot be written (Is a directory)"),
    ] {
      // A detector that is not there would be said first if models came first.
      let result = try tsdf(
        "protect", folder.path("in"), "--output", folder.path(output), "--models", folder.path("nowhere"))
      XCTAssertEqual(result.status, 1, output)
      XCTAssertTrue(result.errors.contains(message), result.errors)
      XCTAssertFalse(result.errors.contains("retinaface"), result.errors)
    }
    let nowhere = try protect(folder.path("in"), output: "/proc/tsdf")
    XCTAssertEqual(nowhere.status, 1)
    XCTAssertTrue(nowhere.errors.contains("/proc/tsdf: cannot be made (No such file or directory)"), nowhere.errors)
  }

  func testSettingsAreKnownByTheirMeaning() throws {
    try writePictures("in/a.png", "in/b.jpg")
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).status, 0)
    try FileManager.default.copyItem(
      atPath: folder.path("perturbation.safetensors"), toPath: folder.path("same.safetensors"))
    for extra in [
      ["--epsilon", "0.05"], ["--quality", "95"], ["--perturbation", folder.path("same.safetensors")],
      ["--margin", "2"], ["--extent", "3"],
      ["--detectors", "retinaface"], ["--format", "keep"], ["--seed", "9"],
    ] {
      let same = try protect(folder.path("in"), output: folder.path("out"), extra: extra)
      XCTAssertTrue(same.output.hasPrefix("0 protected, 2 done before, 0 failed"), "\(extra): \(same.output)")
    }
    try writeSmallModels(to: folder, seed: 6)
    let changed = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertTrue(changed.output.hasPrefix("2 protected, 0 done before, 0 failed"), changed.output)
    let quality = try protect(folder.path("in"), output: folder.path("out"), extra: ["--quality", "80"])
    XCTAssertTrue(quality.output.hasPrefix("2 protected, 0 done before, 0 failed"), quality.output)
  }

  func testPermissionsAndTimesOfTheOriginal() throws {
    try writePictures("in/private.png", "in/open.jpg")
    let (private_, open) = (folder.path("in/private.png"), folder.path("in/open.jpg"))
    chmod(private_, 0o600)
    chmod(open, 0o444)
    var times = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1_000_000_000, tv_nsec: 123_456_789)]
    XCTAssertEqual(utimensat(AT_FDCWD, private_, &times, 0), 0)
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).status, 0)
    var status = stat()
    XCTAssertEqual(stat(folder.path("out/private.png"), &status), 0)
    XCTAssertEqual(status.st_mode & 0o777, 0o600)
    XCTAssertEqual(status.st_mtim.tv_sec, 1_000_000_000)
    XCTAssertEqual(status.st_mtim.tv_nsec, 123_456_789)
    XCTAssertEqual(stat(folder.path("out/open.jpg"), &status), 0)
    XCTAssertEqual(status.st_mode & 0o777, 0o444)
    let again = try protect(folder.path("in"), output: folder.path("out"), extra: ["--epsilon", "0.03"])
    XCTAssertTrue(again.output.hasPrefix("2 protected, 0 done before, 0 failed"), again.output)
  }

  /// A photo whose name begins as those of tsdf's own files do is a photo like others.
  func testNamesLikeOnesOwn() throws {
    let names = ["in/.tsdf-photo.jpg", "in/.tsdf-journal.jsonl.png", "in/.tsdf-x y.partial.png"]
    for name in names { try writePictures(name) }
    let result = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertTrue(result.output.hasPrefix("3 protected, 0 done before, 0 failed"), result.output)
    let again = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertTrue(again.output.hasPrefix("0 protected, 3 done before, 0 failed"), again.output)
    XCTAssertFalse(again.output.contains("still found"), "nobody looked: \(again.output)")
  }

  /// Copies say that they are; one that is to be protected away from its journal is named.
  func testCopiesAreKnownByTheirMark() throws {
    try writePictures("in/a.jpg", "in/b.png")
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).errors.contains("before"), false)
    XCTAssertTrue(try read("out/a.jpg").isMarkedProtected && read("out/b.png").isMarkedProtected)
    try FileManager.default.copyItem(atPath: folder.path("out/b.png"), toPath: folder.path("moved.png"))
    let again = try protect(folder.path("moved.png"), output: folder.path("twice"))
    XCTAssertEqual(again.status, 0, again.errors)
    XCTAssertTrue(again.errors.contains("moved.png: was protected by tsdf before"), again.errors)
    let plain = try protect(folder.path("moved.png"), output: folder.path("plain"), extra: ["--no-mark"])
    XCTAssertEqual(plain.status, 0, plain.errors)
    XCTAssertFalse(try read("plain/moved.png").isMarkedProtected)
    XCTAssertEqual(try read("plain/moved.png").image.bytes, try read("twice/moved.png").image.bytes)
  }

  private func read(_ name: String) throws -> ImageFile {
    try ImageFile(contentsOf: URL(fileURLWithPath: folder.path(name)))
  }

  /// Other commands' results replace nobody's files either.
  func testResultsOfOtherCommands() throws {
    try writePictures("in/a.png", "mine.png")
    let mine = try data("mine.png")
    for place in ["out/a.png.A.png", "page/index.html"] { try folder.write(mine, place) }
    let edit = try tsdf("edit", folder.path("generator.safetensors"), folder.path("in"), "--output", folder.path("out"))
    requireNamed(edit, "out/a.png.A.png")
    let page = try protect(folder.path("in"), output: folder.path("copies"), extra: ["--report", folder.path("page")])
    requireNamed(page, "page/index.html")
    XCTAssertNil(try contents("copies")["a.png"], "said before any work")
    for place in ["out/a.png.A.png", "page/index.html"] { XCTAssertEqual(try data(place), mine, place) }
  }

  func testTwoRunsAtOnce() throws {
    let count = 40
    for i in 0..<count { try writePictures("in/\(i).png", firstWidth: 200 + i) }
    let runs = try (0..<3).map { _ in try startTSDF(arguments([folder.path("in")], output: folder.path("out"))) }
    let results = runs.map { run in
      let output = String(decoding: run.out.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      run.process.waitUntilExit()
      return output
    }
    let firsts = results.map { $0.split(separator: "\n").first.map(String.init) ?? "" }
    XCTAssertEqual(
      firsts.sorted(),
      [
        "0 protected, 40 done before, 0 failed", "0 protected, 40 done before, 0 failed",
        "40 protected, 0 done before, 0 failed",
      ])
    let made = try contents("out")
    try FileManager.default.removeItem(atPath: folder.path("out"))
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).status, 0)
    XCTAssertEqual(try contents("out"), made)
    XCTAssertEqual(made.count, count)
  }
}
