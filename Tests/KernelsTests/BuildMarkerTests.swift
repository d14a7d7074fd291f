import Foundation
import Kernels
import TestSupport
import XCTest

/// A driver that dies, or fails, while it builds costs one run at most.
final class BuildMarkerTests: FolderTestCase {
  /// What is in the folder of a kind.
  private func files(_ prefix: String) throws -> [URL] {
    try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
      .filter { $0.lastPathComponent.hasPrefix(prefix) }
  }

  func testMarkers() throws {
    let file = folder.appendingPathComponent("deeper/building.txt")
    guard case .marked(let marker) = BuildMarker.begin(file, text: "kernels") else { return XCTFail("not marked") }
    XCTAssertEqual(try String(contentsOf: file, encoding: .utf8), "kernels\n")
    guard case .unmarked = BuildMarker.begin(file, text: "") else { return XCTFail("built by two") }
    marker.end()
    XCTAssertFalse(FileManager.default.fileExists(atPath: file.path))

    // One that was left may have been left by Ctrl-C.
    try Data("left\n".utf8).write(to: file)
    guard case .marked(let again) = BuildMarker.begin(file, text: "once more") else {
      return XCTFail("not tried again")
    }
    XCTAssertEqual(try String(contentsOf: file, encoding: .utf8), "left\nonce more\n")
    again.end()
    XCTAssertFalse(FileManager.default.fileExists(atPath: file.path))
    try Data("left\nleft\n".utf8).write(to: file)
    guard case .left = BuildMarker.begin(file, text: "") else { return XCTFail("not seen") }
    guard case .left = BuildMarker.begin(file, text: "") else { return XCTFail("not seen again") }
    try Data().write(to: file)
    guard case .marked(let second) = BuildMarker.begin(file, text: "x") else { return XCTFail("killed too early") }
    second.end()
    guard case .unmarked = BuildMarker.begin(URL(fileURLWithPath: "/proc/none/x"), text: "") else {
      return XCTFail("marked where nothing can be written")
    }
  }

  private static let folderOfChild = "TSDF_TEST_ABORTING_BUILD"

  /// The child of the next test: its driver aborts at its first build.
  func testChildThatAborts() throws {
    guard let path = ProcessInfo.processInfo.environment[Self.folderOfChild] else { return }
    let device = try openDevice(URL(fileURLWithPath: path))
    device.willBuild = { abort() }
    _ = try sum(on: device)
    XCTFail("built")
  }

  func testNextRunBuildsInAnotherWay() throws {
    for _ in 0..<2 {
      let child = Process()
      child.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
      child.arguments = ["KernelsTests.BuildMarkerTests/testChildThatAborts"]
      child.environment = ProcessInfo.processInfo.environment.merging([Self.folderOfChild: folder.path]) { $1 }
      child.standardOutput = FileHandle.nullDevice
      child.standardError = FileHandle.nullDevice
      try child.run()
      child.waitUntilExit()
      XCTAssertEqual(child.terminationReason, .uncaughtSignal)
      XCTAssertEqual(child.terminationStatus, SIGABRT)
    }
    let left = try files("building-")
    XCTAssertEqual(left.count, 1)

    for run in 1...2 {
      let device = try openDevice(folder)
      var said: [String] = []
      device.report = { said.append($0) }
      XCTAssertEqual(try sum(on: device), [4, 6], "run \(run)")
      XCTAssertEqual(try sum(on: device), [4, 6], "run \(run)")
      XCTAssertEqual(said.count, 1, "said once")
      XCTAssertTrue(said[0].contains(left[0].path), said[0])
      XCTAssertTrue(said[0].contains(device.info.driver), said[0])
    }
    XCTAssertEqual(try files("building-"), left, "what was built is not marked any more")

    try FileManager.default.removeItem(at: left[0])
    let device = try openDevice(folder)
    device.report = { XCTFail($0) }
    XCTAssertEqual(try sum(on: device), [4, 6])
    XCTAssertEqual(try files("building-"), [])
  }

  /// Where every way to build killed its process, it is an error that says so, and the device is not chosen again.
  func testDeviceThatBuildsNothing() throws {
    let device = try openDevice(folder)
    var marked: [URL] = []
    device.willBuild = { [self] in
      for file in (try? files("building-")) ?? [] where !marked.contains(file) { marked.append(file) }
    }
    _ = try sum(on: device)
    // One marker at a time is seen and left; the next device then goes another way.
    while true {
      for file in marked { try Data("left\nleft\n".utf8).write(to: file) }
      let count = marked.count
      let next = try openDevice(folder)
      next.willBuild = { [self] in
        for file in (try? files("building-")) ?? [] where !marked.contains(file) { marked.append(file) }
      }
      do { _ = try sum(on: next) } catch KernelsError.build(_, let name, let log) {
        XCTAssertEqual(name, device.name)
        for file in marked { XCTAssertTrue(log.contains(file.path), log) }
        break
      }
      XCTAssertGreaterThan(marked.count, count)
    }
    XCTAssertEqual(try files("unusable-").count, 1)
    XCTAssertTrue(try XCTUnwrap(device.info.complaint(in: folder)).contains("left out"))
    XCTAssertNil(device.info.complaint(in: folder.appendingPathComponent("another")))
  }

  private func openDevice(_ folder: URL) throws -> OpenCLDevice {
    let info = try XCTUnwrap(openCLDevices().first)
    return try OpenCLDevice(info, parameters: nil, folder: folder)
  }

  private func sum(on device: OpenCLDevice) throws -> [Float] {
    try (Tensor([1, 2], shape: [2], device: device) + Tensor([3, 4], shape: [2], device: device)).values()
  }
}
