import Foundation
import Kernels
import SystemPackage
import TestSupport
import XCTest

/// Results of commands take the place of nothing but earlier results that nobody changed.
final class ResultFolderTests: XCTestCase {
  private var folder: TemporaryFolder!

  override func setUpWithError() throws { folder = try TemporaryFolder() }

  private func open(for names: [FilePath] = []) throws -> ResultFolder {
    try ResultFolder(FilePath(folder.path("out")), for: names)
  }

  private func text(_ name: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: folder.path(name))), as: UTF8.self)
  }

  func testEarlierResultsAreMadeAnew() throws {
    XCTAssertEqual(try open().write(Data("one".utf8), to: "deep/a.png").string, folder.path("out/deep/a.png"))
    try open(for: ["deep/a.png"]).write(Data("two".utf8), to: "deep/a.png")
    XCTAssertEqual(try text("out/deep/a.png"), "two")
    // One that was cut off, too.
    try folder.write(Data(), "out/deep/a.png")
    try open().write(Data("three".utf8), to: "deep/a.png")
    XCTAssertEqual(try text("out/deep/a.png"), "three")
  }

  func testFilesOfOthersStay() throws {
    try folder.write(Data("mine".utf8), "out/a.png")
    XCTAssertThrowsError(try open(for: ["b.png", "a.png"])) {
      XCTAssertTrue("\($0)".contains("out/a.png: is there already, and no journal says that tsdf made it"), "\($0)")
    }
    let results = try open()
    XCTAssertThrowsError(try results.write(Data("other".utf8), to: "a.png"))
    XCTAssertEqual(try text("out/a.png"), "mine")
    XCTAssertThrowsError(try results.write(Data("other".utf8), to: "../b.png"))
  }

  func testEditedResultsStay() throws {
    try open().write(Data("made".utf8), to: "b.png")
    try folder.write(Data("painted".utf8), "out/b.png")
    XCTAssertThrowsError(try open().write(Data("made anew".utf8), to: "b.png")) {
      XCTAssertTrue("\($0)".contains("out/b.png: was changed since tsdf made it"), "\($0)")
    }
    XCTAssertEqual(try text("out/b.png"), "painted")
  }

  func testLinksAreNotFollowed() throws {
    try folder.write(Data("mine".utf8), "mine.png")
    try folder.write(Data(), "out/.keep")
    try FileManager.default.createSymbolicLink(
      atPath: folder.path("out/a.png"), withDestinationPath: folder.path("mine.png"))
    XCTAssertThrowsError(try open().write(Data("other".utf8), to: "a.png"))
    XCTAssertEqual(try text("mine.png"), "mine")
  }

  func testResultsOfOneNameGetNumbers() throws {
    for _ in 0..<2 {
      let results = try open()
      let places = try ["one", "two", "three"].map { try results.write(Data($0.utf8), to: "a.jpg.png").string }
      XCTAssertEqual(places, ["out/a.jpg.png", "out/a.jpg.2.png", "out/a.jpg.3.png"].map(folder.path))
    }
    XCTAssertEqual(try ["", ".2", ".3"].map { try text("out/a.jpg\($0).png") }, ["one", "two", "three"])
  }

  func testTensorsReplaceTensorsAlone() throws {
    let tensors = ["x": try Tensor([1], shape: [1], device: CPUDevice())]
    func write(_ name: String) throws { try Safetensors.write(tensors, to: URL(fileURLWithPath: folder.path(name))) }
    for _ in 0..<2 { try write("x.safetensors") }
    try folder.write(Data(), "empty")
    try write("empty")
    try folder.write(Data("not tensors, but a text".utf8), "a.txt")
    XCTAssertThrowsError(try write("a.txt")) {
      XCTAssertTrue("\($0)".contains("a.txt: is there already and no safetensors file"), "\($0)")
    }
    XCTAssertEqual(try text("a.txt"), "not tensors, but a text")
    XCTAssertEqual(mkfifo(folder.path("pipe"), 0o600), 0)
    XCTAssertThrowsError(try write("pipe"))
  }
}
