import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// The package in Examples, which uses the library as other packages do, and the documents that show it.
final class ExampleTests: XCTestCase {
  /// Runs an example, built for debugging in a folder of its own.
  private func run(_ name: String, _ arguments: String...) throws -> RunResult {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments =
      ["swift", "run", "--package-path", "Examples", "--scratch-path", ".build/examples", name] + arguments
    process.currentDirectoryURL = projectURL("")
    return try finish(process)
  }

  func testGradient() throws {
    let result = try run("gradient")
    XCTAssertEqual(result.status, 0, result.errors)
    let lines = result.output.split(separator: "\n")
    XCTAssertEqual(lines.first, "[36.0] [3.0, 12.0, 27.0] [6.0, 12.0, 18.0]")
    let losses = try XCTUnwrap(lines.last).split(separator: " ").compactMap { Float($0) }
    XCTAssertEqual(losses.count, 2, result.output)
    XCTAssertLessThan(losses[1], losses[0] / 2)
  }

  func testProtect() throws {
    let folder = try TemporaryFolder()
    let photo = projectURL("photos/astronaut.png")
    let result = try run("protect", photo.path, folder.path("copy.png"), "2")
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertTrue(result.output.hasPrefix("1 faces, "), result.output)
    let (before, after) = (
      try ImageFile(contentsOf: photo).image,
      try ImageFile(contentsOf: folder.url.appendingPathComponent("copy.png")).image
    )
    XCTAssertNotEqual(before.bytes, after.bytes)
    let moves = zip(before.bytes, after.bytes).map { abs(Int($0) - Int($1)) }
    XCTAssertLessThanOrEqual(try XCTUnwrap(moves.max()), 6)
  }

  /// Whatever Swift the documents show is a line of a program that is built.
  func testDocumentsShowWhatIsBuilt() throws {
    let sources = [
      "Examples/Sources/Gradient/main.swift", "Examples/Sources/Protect/main.swift",
      "Sources/Kernels/Tensor/Elementwise.swift",
    ]
    let built = Set(try sources.flatMap { try lines(of: $0) })
    for document in [
      "README.md", "Sources/Kernels/Kernels.docc/FirstGradient.md", "Sources/Kernels/Kernels.docc/AddingAnOperation.md",
      "Sources/TSDF/TSDF.docc/ProtectingAPhoto.md",
    ] {
      var (isSwift, count) = (false, 0)
      for line in try lines(of: document) {
        if line.hasPrefix("```") {
          isSwift = line == "```swift"
        } else if isSwift, !line.isEmpty {
          XCTAssertTrue(built.contains(line), "\(document): \(line)")
          count += 1
        }
      }
      XCTAssertGreaterThan(count, 0, document)
    }
  }

  private func lines(of path: String) throws -> [String] {
    try String(contentsOf: projectURL(path), encoding: .utf8).components(separatedBy: "\n").map {
      $0.trimmingCharacters(in: .whitespaces)
    }
  }
}
