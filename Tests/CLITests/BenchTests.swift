import Foundation
import Kernels
import TestSupport
import XCTest

/// `tsdf bench` and `tsdf convert` as a person runs them.
final class BenchTests: ProtectTestCase {
  private func json(_ result: RunResult) throws -> [String: Any] {
    XCTAssertEqual(result.status, 0, result.errors)
    return try XCTUnwrap(JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
  }

  /// Times are what they are; what is counted is not.
  func testKernels() throws {
    let listing = try json(tsdf("bench", "kernels", "--runs", "1", "--json", "--models", folder.path("none")))
    let rows = try XCTUnwrap(listing["rows"] as? [[String: Any]])
    let names = rows.compactMap { $0["name"] as? String }
    XCTAssertEqual(Set(names).count, 24, "\(names)")
    var work: [String: Double] = [:]
    for row in rows {
      let (name, unit) = (try XCTUnwrap(row["name"] as? String), try XCTUnwrap(row["unit"] as? String))
      let (seconds, rate) = (try XCTUnwrap(row["seconds"] as? Double), try XCTUnwrap(row["rate"] as? Double))
      XCTAssertGreaterThan(seconds, 0, name)
      XCTAssertEqual(unit == "GB/s", name.contains("64x256x256"), name)
      if let peaks = listing["peaks"] as? [String: Double] {
        let peak = try XCTUnwrap(peaks[unit == "GB/s" ? "gigabytes" : "gigaflops"])
        XCTAssertEqual(try XCTUnwrap(row["share"] as? Double), rate / peak, accuracy: 1e-6, name)
      }
      work[name] = rate * 1e9 * seconds
    }
    let counted: [String: Double] = [
      "matrix 1024": 2_147_483_648, "add 64x256x256": 50_331_648,
      // Twice 9 taps, 256 channels in and out, 64x64 pixels; twice 16 taps, 64 in, 128 out, 128x128.
      "conv 3x3 256-256 64 forward": 4_831_838_208, "conv 4x4/2 64-128 256 weight gradient": 4_294_967_296,
    ]
    for (name, expected) in counted {
      XCTAssertEqual(try XCTUnwrap(work[name]) / expected, 1, accuracy: 1e-6, name)
    }
    let refused = try tsdf("bench", "--tune", "--device", "cpu")
    XCTAssertEqual(refused.status, 64, refused.errors)
    XCTAssertTrue(refused.errors.contains("--tune needs an OpenCL device"), refused.errors)
  }

  func testProtect() throws {
    try writePictures("in/a.png", "in/b.jpg")
    let result = try json(
      tsdf("bench", "protect", folder.path("in"), "--count", "5", "--rounds", "2", "--json", "--device", "cpu"))
    XCTAssertEqual(result["images"] as? Int, 5)
    let (codecs, protect) = (
      try XCTUnwrap(result["codecs"] as? [Double]), try XCTUnwrap(result["protect"] as? [Double])
    )
    XCTAssertEqual([codecs.count, protect.count], [2, 2])
    let ratios = zip(protect, codecs).map { $0 / $1 }
    XCTAssertEqual(try XCTUnwrap(result["ratio"] as? Double), (ratios[0] + ratios[1]) / 2, accuracy: 1e-6)
    XCTAssertGreaterThan(try XCTUnwrap(result["firstPeakBytes"] as? Int), 1 << 20)
    let missing = try tsdf("bench", "protect", folder.path("nothing"))
    XCTAssertNotEqual(missing.status, 0)
    XCTAssertTrue(missing.errors.contains("does not exist"), missing.errors)
  }

  func testConvert() throws {
    let checkpoint = projectURL("Tests/Goldens/checkpoints/zip.pth")
    let output = folder.path("out.safetensors")
    let made = try tsdf(
      "convert", checkpoint.path, "--output", output, "--key", "G", "--metadata", "attributes=Male,Young", "note=a=b")
    XCTAssertEqual(made.status, 0, made.errors)
    XCTAssertTrue(made.output.contains("4 tensors"), made.output)
    let file = try Safetensors(contentsOf: URL(fileURLWithPath: output))
    XCTAssertEqual(file.names.sorted(), ["a.weight", "b", "d", "h"])
    XCTAssertEqual(file.shape(of: "a.weight"), [6, 4])
    XCTAssertEqual(try file.values(of: "h"), (0..<24).map { Float($0) / 8 })
    XCTAssertEqual(file.metadata["attributes"], "Male,Young")
    XCTAssertEqual(file.metadata["note"], "a=b")
    XCTAssertEqual(file.metadata["source"], "zip.pth")
    XCTAssertEqual(file.metadata["source_sha256"], sha256(try Data(contentsOf: checkpoint)).hexadecimal)

    for (arguments, text) in [
      ([checkpoint.path, "--key", "D"], "no tensor under the key D"),
      ([checkpoint.path, "--metadata", "name"], "--metadata takes NAME=VALUE"),
      ([projectURL("Tests/Goldens/checkpoints/code.pth").path], "which is code: refused"),
      ([folder.path("nothing.pth")], "nothing.pth"),
    ] {
      let refused = try tsdf(["convert"] + arguments + ["--output", folder.path("refused.safetensors")])
      XCTAssertNotEqual(refused.status, 0, text)
      XCTAssertTrue(refused.errors.contains(text), refused.errors)
    }
    XCTAssertFalse(folder.files.contains("refused.safetensors"))
  }
}
