import Foundation
import TestSupport
import XCTest

/// `tsdf protect --shard`: several processes, one output folder.
final class ShardTests: ProtectTestCase {
  private func start(_ shard: String, output: String = "out") throws -> Process {
    try startTSDF(
      arguments([folder.path("in")], output: folder.path(output), extra: ["--shard", shard, "--device", "cpu"])
    ).process
  }

  private func journals(_ output: String = "out") -> [String] {
    folder.files.filter { $0.hasPrefix(output + "/.tsdf-journal") }.sorted()
  }

  private func writeInputs() throws {
    // Names that two inputs share, in folders that are named themselves.
    for i in 0..<12 { try writePictures("in/\(i).png", firstWidth: 40 + i) }
    try writePictures("a/x.png", "b/x.png", firstWidth: 70)
  }

  func testShardsAtOnceMakeWhatOneRunMakes() throws {
    try writeInputs()
    let inputs = [folder.path("in"), folder.path("a"), folder.path("b")]
    func arguments(_ output: String, _ extra: [String]) -> [String] {
      self.arguments(inputs, output: folder.path(output), extra: ["--device", "cpu", "--json"] + extra)
    }
    let whole = try tsdf(arguments("whole", []))
    XCTAssertEqual(whole.status, 0, whole.errors)
    let started = try (0..<3).map { try startTSDF(arguments("out", ["--shard", "\($0)/3"])) }
    var done = 0
    for run in started {
      let output = run.out.fileHandleForReading.readDataToEndOfFile()
      run.process.waitUntilExit()
      XCTAssertEqual(run.process.terminationStatus, 0)
      let summary = try XCTUnwrap(JSONSerialization.jsonObject(with: output) as? [String: Any])
      done += try XCTUnwrap(summary["done"] as? Int)
      XCTAssertEqual(summary["skipped"] as? Int, 0)
    }
    XCTAssertEqual(done, 14)
    XCTAssertEqual(try contents("out"), try contents("whole"))
    XCTAssertEqual(Set(try contents("out").keys).intersection(["x.png", "b/x.png"]).count, 2)
    // A run without shards finds all done, and puts the journals together.
    let after = try tsdf(arguments("out", []))
    XCTAssertTrue(after.output.contains("\"skipped\" : 14") || after.output.contains("\"skipped\":14"), after.output)
    XCTAssertEqual(journals(), ["out/.tsdf-journal.jsonl"])
  }

  func testAnyRunGoesOnWhereAShardWasKilled() throws {
    for i in 0..<60 { try writePictures("in/\(i).png", firstWidth: 200 + i) }
    let process = try start("1/2")
    while try contents("out").isEmpty, process.isRunning { usleep(2000) }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    let before = try contents("out")
    XCTAssertTrue((1..<60).contains(before.count))
    XCTAssertEqual(journals(), ["out/.tsdf-journal.1-of-2.jsonl", "out/.tsdf-journal.jsonl"])
    // Another number of shards, then none.
    for extra in [["--shard", "0/3"], []] {
      let run = try protect(
        folder.path("in"), output: folder.path("out"), extra: ["--device", "cpu", "--json"] + extra)
      XCTAssertEqual(run.status, 0, run.errors)
    }
    let whole = try protect(folder.path("in"), output: folder.path("whole"), extra: ["--device", "cpu"])
    XCTAssertEqual(whole.status, 0, whole.errors)
    XCTAssertEqual(try contents("out"), try contents("whole"))
    for (name, bytes) in before { XCTAssertEqual(try data("out/" + name), bytes) }
    XCTAssertEqual(journals(), ["out/.tsdf-journal.jsonl"])
    XCTAssertFalse(folder.files.contains { $0.hasSuffix(".partial") })
  }

  func testShardsOfSlurm() throws {
    try writeInputs()
    func run(_ environment: [String: String], _ shard: String = "slurm") throws -> RunResult {
      try tsdf(
        arguments([folder.path("in")], output: folder.path("out"), extra: ["--shard", shard, "--device", "cpu"]),
        environment: environment)
    }
    let array = ["SLURM_ARRAY_TASK_MIN": "4", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_STEP": "2"]
    let inArray = try run(array.merging(["SLURM_ARRAY_TASK_ID": "8", "SLURM_ARRAY_TASK_MAX": "8"]) { $1 })
    XCTAssertTrue(inArray.errors.contains("shard 2 of 3"), inArray.errors)
    let step = ["SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"]
    XCTAssertTrue(try run(step).errors.contains("shard 1 of 2"))
    let both = array.merging(step) { $1 }.merging(["SLURM_ARRAY_TASK_ID": "6"]) { $1 }
    XCTAssertTrue(try run(both).errors.contains("shard 3 of 6"))
    for (environment, text) in [
      ([:], "neither a task of a job array nor one of srun's"),
      (["SLURM_NTASKS": "2", "SLURM_PROCID": "0"], "start it with srun"),
      (array.merging(["SLURM_ARRAY_TASK_ID": "10"]) { $1 }, "has gaps"),
      // --array=4,10,12
      (array.merging(["SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_MAX": "12"]) { $1 }, "has gaps"),
      (["SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MIN": "0"], "SLURM_ARRAY_TASK_COUNT is not"),
      (array.merging(["SLURM_ARRAY_TASK_ID": "x"]) { $1 }, "is x, no number"),
    ] as [([String: String], String)] {
      let refused = try run(environment)
      XCTAssertEqual(refused.status, 64, refused.errors)
      XCTAssertTrue(refused.errors.contains(text), refused.errors)
    }
    for shard in ["3/3", "-1/2", "1", "a/b", "0/0", ""] { XCTAssertEqual(try run([:], shard).status, 64, shard) }
  }
}
