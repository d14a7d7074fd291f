import Foundation
import Pictures
import TestSupport
import XCTest

/// Signals, kills, and streams that cannot be written to.
final class InterruptionTests: ProtectTestCase {
  private func done(_ name: String = "out") -> Int {
    folder.files.filter { $0.hasPrefix(name + "/") && ($0.hasSuffix(".png") || $0.hasSuffix(".jpg")) }.count
  }

  func testSignalsEndProtectAfterThePicturesInHand() throws {
    for i in 0..<120 { try writePictures("in/\(i).png", firstWidth: 200 + i) }
    for number in [SIGINT, SIGTERM, SIGHUP] {
      let before = done()
      let end = try interrupt(arguments([folder.path("in")], output: folder.path("out")), with: number) {
        self.done() > before
      }
      XCTAssertEqual(end.status, 128 + number, end.errors)
      XCTAssertTrue(end.errors.contains("stopped; the same command goes on"), end.errors)
      XCTAssertLessThan(done(), 120)
    }
    let whole = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertEqual(whole.status, 0, whole.errors)
    XCTAssertTrue(whole.output.contains(", 0 failed"), whole.output)
    XCTAssertEqual(done(), 120)
  }

  func testAHangupThatIsIgnoredStaysIgnored() throws {
    for i in 0..<60 { try writePictures("in/\(i).png", firstWidth: 200 + i) }
    let script =
      #"trap '' HUP; "$0" "$@" & while ! ls "$OUT"/*.png >/dev/null 2>&1; do sleep 0.02; done; kill -HUP $!; wait $!"#
    setenv("OUT", folder.path("out"), 1)
    let result = try shell(script, arguments([folder.path("in")], output: folder.path("out")))
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertEqual(done(), 60)
  }

  func testSignalsEndCraftWithACheckpoint() throws {
    for i in 0..<4 { try writePictures("faces/\(i).png", firstWidth: 64 + i) }
    let output = folder.path("crafted.safetensors")
    func arguments(_ output: String) -> [String] {
      [
        "craft", "--data", folder.path("faces"), "--output", output, "--method", "joint", "--generators",
        folder.path("generator.safetensors"), "--detectors", "none", "--size", "64", "--hold-out", "0", "--batch", "2",
        "--passes", "30", "--checkpoint-every", "2", "--device", "cpu",
      ]
    }
    let end = try interrupt(arguments(output), with: SIGTERM) {
      self.folder.files.contains("crafted.safetensors.checkpoint")
    }
    XCTAssertEqual(end.status, 143, end.errors)
    XCTAssertTrue(end.errors.contains("the same command goes on"), end.errors)
    XCTAssertTrue(folder.files.contains("crafted.safetensors.checkpoint"))
    XCTAssertFalse(folder.files.contains("crafted.safetensors"))
    XCTAssertEqual(try tsdf(arguments(output)).status, 0)
    XCTAssertEqual(try tsdf(arguments(folder.path("whole.safetensors"))).status, 0)
    XCTAssertEqual(try data("crafted.safetensors"), try data("whole.safetensors"))
  }

  func testSignalsEndEvaluate() throws {
    for i in 0..<40 { try writePictures("faces/\(i).png", firstWidth: 64 + i) }
    let output = folder.path("report")
    let arguments = [
      "evaluate", "--data", folder.path("faces"), "--perturbation", folder.path("perturbation.safetensors"),
      "--generators",
      folder.path("generator.safetensors"), "--detectors", "none", "--hold-out", "0", "--robustness",
      "--device", "cpu", "--output", output,
    ]
    let started = Date()
    let end = try interrupt(arguments, with: SIGINT) { Date().timeIntervalSince(started) > 1 }
    XCTAssertEqual(end.status, 130, end.errors)
    XCTAssertEqual(try contents("report"), [:])
  }

  /// Kills a run over mixed folders again and again, at random moments: afterwards each copy is what an undisturbed run makes.
  /// `TSDF_KILLS` says how often; tools/check-kills asks for twenty.
  func testKilledRunsEndInWhatAnUndisturbedRunMakes() throws {
    let kills = ProcessInfo.processInfo.environment["TSDF_KILLS"].flatMap { Int($0) } ?? 4
    for i in 0..<120 {
      try writePictures("in/\(i % 5)/\(i).\(i % 2 == 0 ? "png" : "jpg")", "in/same/\(i)/a.jpg", firstWidth: 150 + i)
      try folder.write(Data("text \(i)".utf8), "in/\(i % 5)/\(i).txt")
    }
    let originals = try contents("in")
    let inputs =
      (0..<5).map { folder.path("in/\($0)") } + [
        folder.path("in/same/1"), folder.path("in/same/2"), folder.path("in/same"),
      ]
    func command(_ output: String) -> [String] {
      arguments(inputs, output: folder.path(output), extra: ["--copy-others", "--quiet"])
    }
    let start = Date()
    let undisturbed = try tsdf(command("whole"))
    let seconds = Date().timeIntervalSince(start)
    XCTAssertEqual(undisturbed.status, 0, undisturbed.errors)
    let whole = try contents("whole")
    XCTAssertEqual(whole.count, originals.count)
    for _ in 0..<kills {
      let (process, _, _) = try startTSDF(command("out"))
      usleep(UInt32(Double.random(in: 0...max(0.2, seconds / 2)) * 1e6))
      kill(process.processIdentifier, SIGKILL)
      process.waitUntilExit()
      for (name, copy) in try contents("out") where !name.hasSuffix(".partial") {
        XCTAssertEqual(copy, whole[name], "\(name) after a kill")
      }
    }
    let last = try tsdf(command("out"))
    XCTAssertEqual(last.status, 0, last.errors)
    XCTAssertEqual(try contents("out"), whole)
    XCTAssertEqual(try contents("in"), originals)
    XCTAssertFalse(folder.files.contains { $0.hasSuffix(".partial") })
  }

  // MARK: Streams

  func testProgressThatCannotBeWrittenIsDropped() throws {
    try writePictures("in/a.png", "in/b.jpg")
    for (index, script) in [#""$0" "$@" 2>&-"#, #""$0" "$@" 2>/dev/full"#, #""$0" "$@" 2> >(exec true)"#].enumerated() {
      let result = try shell(script, arguments([folder.path("in")], output: folder.path("out\(index)")))
      XCTAssertEqual(result.status, 0, script)
      XCTAssertTrue(result.output.hasPrefix("2 protected"), result.output)
      XCTAssertEqual(done("out\(index)"), 2)
    }
  }

  func testResultsThatCannotBeWrittenAreAnError() throws {
    try writePictures("in/a.png")
    for (script, reason) in [
      (#""$0" "$@" >/dev/full"#, "No space left on device"), (#""$0" "$@" >&-"#, "Bad file descriptor"),
      (#"set -o pipefail; "$0" "$@" | exec 0<&- sleep 0.01; exit ${PIPESTATUS[0]}"#, "Broken pipe"),
    ] {
      let result = try shell(script, arguments([folder.path("in")], output: folder.path("out")))
      XCTAssertEqual(result.status, 1, script)
      XCTAssertTrue(
        result.errors.contains("standard output: the results cannot be written (\(reason))"),
        "\(script): \(result.errors)")
      XCTAssertEqual(done(), 1)
    }
  }
}
