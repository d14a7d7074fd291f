import Foundation
import Kernels
import TestSupport
import XCTest

/// Commands whose work several devices share, in threads and, where there is an MPI, in processes.
final class MembersCommandTests: ProtectTestCase {
  private func craft(_ output: String, _ extra: [String]) -> [String] {
    [
      "craft", "--data", folder.path("faces"), "--output", folder.path(output), "--method", "joint", "--generators",
      folder.path("generator.safetensors"), "--detectors", "none", "--size", "64", "--hold-out", "0", "--batch", "3",
      "--passes", "2", "--checkpoint-every", "1",
    ] + extra
  }

  private func values(_ name: String) throws -> [Float] {
    try Safetensors(contentsOf: URL(fileURLWithPath: folder.path(name))).values(of: "perturbation")
  }

  override func setUpWithError() throws {
    try super.setUpWithError()
    for i in 0..<5 { try writePictures("faces/\(i).png", firstWidth: 64 + i) }
  }

  func testCraftOnSeveralDevices() throws {
    for (output, devices) in [("one.safetensors", "cpu"), ("three.safetensors", "cpu,cpu,cpu")] {
      let run = try tsdf(craft(output, ["--device", devices]))
      XCTAssertEqual(run.status, 0, run.errors)
      XCTAssertEqual(run.output, folder.path(output) + "\n")
      XCTAssertEqual(run.errors.contains("3 members"), devices != "cpu", run.errors)
    }
    let (one, three) = (try values("one.safetensors"), try values("three.safetensors"))
    XCTAssertLessThan(zip(one, three).count { abs($0 - $1) > 1e-4 }, one.count / 50)
    XCTAssertFalse(folder.files.contains { $0.hasSuffix(".checkpoint") })
    let bad = try tsdf(craft("bad.safetensors", ["--device", "cpu,nonsense"]))
    XCTAssertEqual(bad.status, 69, bad.errors)
    XCTAssertTrue(bad.errors.contains("nonsense"), bad.errors)
  }

  func testWithoutTheLibrary() throws {
    let run = try tsdf(craft("x.safetensors", ["--mpi"]), environment: ["TSDF_MPI": folder.path("none.so")])
    XCTAssertNotEqual(run.status, 0)
    XCTAssertTrue(run.errors.contains("none.so") && run.errors.contains("tools/make-mpi"), run.errors)
    let both = try protect(folder.path("faces"), output: folder.path("out"), extra: ["--mpi", "--shard", "0/2"])
    XCTAssertEqual(both.status, 64, both.errors)
  }

  /// Runs a command in processes of mpirun's.
  /// - Throws: `XCTSkip` where there is no MPI.
  private func mpirun(_ count: Int, _ arguments: [String], before: String = "") throws -> RunResult {
    let library = folder.path("tsdf-mpi.so")
    let made = try shell(
      "command -v mpirun >/dev/null && mpicc -O2 -shared -fPIC tools/mpi/tsdf-mpi.c -o \(library)", [])
    guard made.status == 0 else { throw XCTSkip("there is no MPI here: \(made.errors)") }
    // OpenMPI's options; others do not mind these variables.
    let variables = [
      "TSDF_MPI": library, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
      "OMPI_MCA_rmaps_base_oversubscribe": "1",
    ]
    for (name, value) in variables { setenv(name, value, 1) }
    return try shell("\(before) mpirun -n \(count) \"$0\" \"$@\"", arguments)
  }

  func testCraftInProcesses() throws {
    XCTAssertEqual(try tsdf(craft("threads.safetensors", ["--device", "cpu,cpu"])).status, 0)
    let run = try mpirun(2, craft("processes.safetensors", ["--device", "cpu", "--mpi"]))
    XCTAssertEqual(run.status, 0, run.errors)
    XCTAssertEqual(run.output, folder.path("processes.safetensors") + "\n")
    XCTAssertEqual(try data("processes.safetensors"), try data("threads.safetensors"))
    // A process that cannot go on ends the others, with what was wrong.
    let bad = try mpirun(2, craft("bad.safetensors", ["--device", "cpu", "--mpi", "--generators", "/nowhere"]))
    XCTAssertNotEqual(bad.status, 0)
    XCTAssertTrue(bad.errors.contains("/nowhere"), bad.errors)
  }

  /// A process that is killed ends the run; the same command goes on from the checkpoint to the same bits.
  func testAKilledProcessEndsTheRun() throws {
    let arguments = craft("killed.safetensors", ["--device", "cpu", "--mpi", "--passes", "12"])
    let whole = try mpirun(2, craft("whole.safetensors", ["--device", "cpu", "--mpi", "--passes", "12"]))
    XCTAssertEqual(whole.status, 0, whole.errors)
    let killer =
      "(while [ ! -e \(folder.path("killed.safetensors.checkpoint")) ]; do sleep 0.02; done; "
      + "kill -9 $(pgrep -nf 'output \(folder.path("killed.safetensors")) ')) &"
    let killed = try mpirun(2, arguments, before: killer)
    XCTAssertNotEqual(killed.status, 0)
    XCTAssertFalse(folder.files.contains("killed.safetensors"))
    let resumed = try mpirun(2, arguments)
    XCTAssertEqual(resumed.status, 0, resumed.errors)
    XCTAssertTrue(resumed.errors.contains("resuming at batch"), resumed.errors)
    XCTAssertEqual(try data("killed.safetensors"), try data("whole.safetensors"))
  }

  func testProtectInProcesses() throws {
    XCTAssertEqual(try protect(folder.path("faces"), output: folder.path("one"), extra: ["--device", "cpu"]).status, 0)
    let run = try mpirun(
      3, arguments([folder.path("faces")], output: folder.path("out"), extra: ["--device", "cpu", "--mpi"]))
    XCTAssertEqual(run.status, 0, run.errors)
    XCTAssertEqual(try contents("out"), try contents("one"))
  }
}
