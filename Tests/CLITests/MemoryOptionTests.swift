import Foundation
import Kernels
import TestSupport
import XCTest

/// `--memory-limit` and `--kept-precision`: what they save, and what they leave as it is.
final class MemoryOptionTests: ProtectTestCase {
  private func craft(_ extra: [String]) throws -> RunResult {
    try tsdf(
      [
        "craft", "--data", folder.path("faces"), "--output", folder.path("crafted.safetensors"), "--method",
        "interruption", "--size", "64", "--faces", "8", "--batch", "8", "--passes", "1", "--hold-out", "0",
        "--detectors", "none", "--generators", "stargan=weights/stargan-128.safetensors",
      ] + extra, environment: ["TSDF_PROFILE": "1"])
  }

  /// The perturbation, and the most memory that tensors took where the device tells it, in MiB.
  private func crafted(_ extra: [String]) throws -> (perturbation: [Float], peak: Int?) {
    let result = try craft(extra)
    XCTAssertEqual(result.status, 0, result.errors)
    let peak = result.errors.firstMatch(of: /MiB of device memory at the end, (\d+) at most/).flatMap { Int($0.1) }
    let file = try Safetensors(contentsOf: URL(fileURLWithPath: folder.path("crafted.safetensors")))
    return (try file.values(of: "perturbation"), peak)
  }

  /// The share of values of the same sign: sign steps make of the last digits of a gradient near 0 a whole step.
  private func agreement(_ a: [Float], _ b: [Float]) -> Double {
    Double(zip(a, b).count { ($0 > 0) == ($1 > 0) }) / Double(a.count)
  }

  func testSmallMemoryAndHalves() throws {
    for i in 0..<8 { try writePictures("faces/\(i).png", firstWidth: 64 + i) }
    let wide = try crafted(["--memory-limit", "240"])
    let narrow = try crafted(["--memory-limit", "48"])
    XCTAssertGreaterThan(agreement(narrow.perturbation, wide.perturbation), 0.97)
    if let most = wide.peak, let least = narrow.peak {
      XCTAssertGreaterThan(most, 64, "a batch that is not cut takes more than the limit")
      XCTAssertLessThanOrEqual(least, 48)
    }
    let halves = try crafted(["--memory-limit", "240", "--kept-precision", "half"])
    XCTAssertNotEqual(halves.perturbation, wide.perturbation)
    XCTAssertGreaterThan(agreement(halves.perturbation, wide.perturbation), 0.9)
    if let most = wide.peak, let less = halves.peak { XCTAssertLessThan(less, most) }

    try FileManager.default.removeItem(atPath: folder.path("crafted.safetensors"))
    let refused = try craft(["--memory-limit", "1"])
    XCTAssertEqual(refused.status, 1, refused.errors)
    XCTAssertTrue(refused.errors.contains("has no room for"), refused.errors)
    XCTAssertFalse(folder.files.contains("crafted.safetensors"))
    XCTAssertEqual(try craft(["--kept-precision", "quarter"]).status, 64)
  }
}
