import Foundation
import TestSupport
import XCTest

/// `tsdf evaluate --shard` and `--merge`.
final class EvaluateShardTests: ProtectTestCase {
  private func arguments(_ extra: [String]) -> [String] {
    [
      "evaluate", "--data", folder.path("faces"), "--perturbation", folder.path("perturbation.safetensors"),
      "--generators", folder.path("generator.safetensors"), "--detectors", "none", "--hold-out", "0", "--size", "64",
      "--device", "cpu",
    ] + extra
  }

  private func evaluate(_ extra: [String]) throws -> RunResult { try tsdf(arguments(extra)) }

  private func merge(_ files: [String], _ extra: [String] = []) throws -> RunResult {
    try tsdf(["evaluate", "--merge"] + files.map { folder.path($0) } + extra)
  }

  private func shardFile(_ index: Int, of count: Int) -> String { "out/measured.\(index)-of-\(count).jsonl" }

  /// Noise is drawn by a photo's number, and what is taken off others is learned from photos of other shards: both must not depend on
  /// how photos are shared out.
  func testShardsTogetherAreOneRun() throws {
    for i in 0..<7 { try writePictures("faces/\(i).png", firstWidth: 64 + i) }
    let judged = ["--noise", "--clean", "--jpeg", "60", "--purify", "noise:0.05@photo,average:2,component:3@photo"]
    let whole = try evaluate(judged + ["--output", folder.path("whole")])
    XCTAssertEqual(whole.status, 0, whole.errors)
    XCTAssertTrue(whole.output.contains("7 faces; stargan: "), whole.output)
    XCTAssertTrue(folder.files.contains("whole/index.html"))
    for i in 0..<3 {
      let shard = try evaluate(judged + ["--output", folder.path("out"), "--shard", "\(i)/3"])
      XCTAssertEqual(shard.status, 0, shard.errors)
      XCTAssertTrue(shard.errors.contains("shard \(i) of 3: \([3, 2, 2][i]) of 7 photos"), shard.errors)
    }
    let files = [2, 0, 1].map { shardFile($0, of: 3) }
    let merged = try merge(files, ["--output", folder.path("merged")])
    XCTAssertEqual(merged.status, 0, merged.errors)
    XCTAssertEqual(merged.output, whole.output)
    for name in ["report.json", "report.csv"] {
      XCTAssertEqual(try data("merged/" + name), try data("whole/" + name), name)
    }
    // The figures are of something.
    let report = try XCTUnwrap(JSONSerialization.jsonObject(with: data("merged/report.json")) as? [String: Any])
    let variants = try XCTUnwrap(report["variants"] as? [[String: Any]])
    XCTAssertEqual(variants.count, 3 * 5)
    // Without an attack on the photo itself, average's among them, that of clean photos is infinite and that of others the plain one.
    XCTAssertEqual(Set(variants.compactMap { $0["watermarkPSNR"] as? Double }).count, 3 + 4 + 4)

    let few = try evaluate(["--purify", "average:7"])
    XCTAssertEqual(few.status, 64)
    XCTAssertTrue(few.errors.contains("learns from 7 other photos, and 7 are judged"), few.errors)

    let other = try evaluate(judged + ["--output", folder.path("other"), "--shard", "1/3", "--seed", "2"])
    XCTAssertEqual(other.status, 0, other.errors)
    let first = try data(files[1])
    var lines = first.split(separator: UInt8(ascii: "\n"))
    try folder.write(Data(lines.dropLast().joined(separator: [10])), "cut/a.jsonl")
    lines.swapAt(1, 2)
    try folder.write(Data(lines.joined(separator: [10])), "cut/b.jsonl")
    for (files, text) in [
      (Array(files.dropLast()), "lacks shard 1 of 3"), (files + [files[0]], "is of shard 2, and so is"),
      ([files[0], files[1], "other/measured.1-of-3.jsonl"], "was measured under other settings"),
      ([files[0], "cut/a.jsonl", files[2]], "ends before photo"),
      ([files[0], "cut/b.jsonl", files[2]], "is damaged: photo 0"),
      (["whole/report.json"], "is no file that evaluate --shard writes"), (["nothing"], "nothing"),
    ] {
      let refused = try merge(files)
      XCTAssertNotEqual(refused.status, 0, text)
      XCTAssertTrue(refused.errors.contains(text), refused.errors)
    }
  }

  /// Photos that a stopped shard has measured are not measured again, unless one of them was changed since.
  func testAStoppedShardGoesOn() throws {
    for i in 0..<40 { try writePictures("faces/\(i).png", firstWidth: 64 + i) }
    let shard = ["--robustness", "--output", folder.path("out"), "--shard", "0/1"]
    func measured() -> Int {
      ((try? data(shardFile(0, of: 1))) ?? Data()).split(separator: UInt8(ascii: "\n")).dropFirst().count
    }
    var wait = 0.5
    while measured() == 0 {
      let started = Date()
      let end = try interrupt(arguments(shard), with: SIGTERM) { Date().timeIntervalSince(started) > wait }
      XCTAssertEqual(end.status, 143, end.errors)
      wait *= 1.5
    }
    let count = measured()
    XCTAssertLessThan(count, 40)
    let early = try merge([shardFile(0, of: 1)])
    XCTAssertTrue(early.errors.contains("ends before photo \(count): start shard 0 of 1 again"), early.errors)
    for before in [count, 40] {
      let shard = try evaluate(shard)
      XCTAssertEqual(shard.status, 0, shard.errors)
      XCTAssertTrue(shard.errors.contains("40 of 40 photos, \(before) of them measured before"), shard.errors)
      XCTAssertEqual(measured(), 40)
    }
    XCTAssertEqual(try merge([shardFile(0, of: 1)]).output, try evaluate(["--robustness"]).output)

    try writePictures("faces/7.png", firstWidth: 91)
    let anew = try evaluate(shard)
    XCTAssertTrue(anew.errors.contains("40 of 40 photos\n"), anew.errors)
    XCTAssertEqual(try merge([shardFile(0, of: 1)]).output, try evaluate(["--robustness"]).output)
  }

  func testMoreShardsThanPhotos() throws {
    try writePictures("faces/a.png", "faces/b.png", firstWidth: 64)
    for i in 0..<3 { XCTAssertEqual(try evaluate(["--output", folder.path("out"), "--shard", "\(i)/3"]).status, 0) }
    let merged = try merge((0..<3).map { shardFile($0, of: 3) })
    XCTAssertEqual(merged.status, 0, merged.errors)
    XCTAssertEqual(merged.output, try evaluate([]).output)
  }

  /// The settings of a measurement name the files of detectors, that of one without a gradient as well, which is of another kind.
  func testShardsAreJudgedByWhatHasNoGradient() throws {
    try writePictures("faces/a.png", firstWidth: 64)
    let judged = ["--detectors", "haar", "--models", projectURL("models").path]
    let shard = try evaluate(judged + ["--output", folder.path("out"), "--shard", "0/1"])
    XCTAssertEqual(shard.status, 0, shard.errors)
    XCTAssertEqual(try merge([shardFile(0, of: 1)]).output, try evaluate(judged).output)
  }

  func testWrongUse() throws {
    for (arguments, text) in [
      (["--data", "x", "--shard", "0/2"], "--shard writes what it measured to --output"),
      (["--data", "x", "--merge", "y"], "takes --data, or --merge"), ([], "takes --data, or --merge"),
    ] {
      let refused = try tsdf(["evaluate"] + arguments)
      XCTAssertEqual(refused.status, 64, refused.errors)
      XCTAssertTrue(refused.errors.contains(text), refused.errors)
    }
  }
}
