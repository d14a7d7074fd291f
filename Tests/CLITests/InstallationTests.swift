import Foundation
import Kernels
import TestSupport
import XCTest

/// `tsdf` as tools/install lays it out: bin/tsdf, and what it came with in share/tsdf.
final class InstallationTests: XCTestCase {
  func testFindsWhatItWasInstalledWith() throws {
    let prefix = try TemporaryFolder()
    try writeSmallModels(to: prefix)
    let shared = prefix.url.appendingPathComponent("share/tsdf")
    for folder in [prefix.url.appendingPathComponent("bin"), shared.appendingPathComponent("weights")] {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }
    let installed = prefix.url.appendingPathComponent("bin/tsdf")
    try FileManager.default.copyItem(at: executable, to: installed)
    try FileManager.default.createSymbolicLink(
      at: shared.appendingPathComponent("models"), withDestinationURL: projectURL("models"))
    try FileManager.default.moveItem(
      at: prefix.url.appendingPathComponent("generator.safetensors"),
      to: shared.appendingPathComponent("weights/stargan.safetensors"))

    func run(_ arguments: String...) throws -> RunResult {
      let process = Process()
      process.executableURL = installed
      process.arguments = arguments
      process.currentDirectoryURL = URL(fileURLWithPath: "/")
      return try finish(process)
    }

    XCTAssertEqual(try run("--version").output, "\(tsdfVersion)\n")
    try Data("commit 0123456789ab\n".utf8).write(to: shared.appendingPathComponent("commit"))
    XCTAssertEqual(try run("--version").output, "\(tsdfVersion) (commit 0123456789ab)\n")
    let photo = projectURL("photos/astronaut.png").path
    let edit = try run("edit", "stargan", photo, "--output", prefix.path("edits"), "--region", "faces")
    XCTAssertEqual(edit.status, 0, edit.errors)
    XCTAssertFalse(try FileManager.default.contentsOfDirectory(atPath: prefix.path("edits")).isEmpty)
    // Its own, and not what lies elsewhere.
    let missing = try run("edit", "attgan", photo, "--output", prefix.path("others"), "--region", "faces")
    XCTAssertNotEqual(missing.status, 0)
    XCTAssertTrue(missing.errors.contains("attgan: does not exist"), missing.errors)
  }
}
