import Foundation
import Kernels
import TestSupport
import XCTest

/// What a step asks of a device, counted by a driver that does nothing (Tests/NullDriver).
final class LaunchCostTests: XCTestCase {
  private let folder = try! TemporaryFolder()

  /// The driver's counts after the warm-up and so many gradient steps of the shipped StarGAN.
  /// - Parameter groups: the most work-items of a group that its kernels run in.
  private func counts(steps: Int, groups: Int = 256) throws -> [String: Int] {
    let result = try tsdf(
      [
        "bench", "step", "gradient", "--generators", "stargan", "--device", "opencl",
        "--input", folder.path("input.safetensors"), "--output", folder.path("output.safetensors"),
      ],
      environment: [
        "OCL_ICD_VENDORS": nullDriver, "NULL_DRIVER_COUNTS": folder.path("counts"), "NULL_DRIVER_GROUP": "\(groups)",
      ],
      input: String(repeating: "\n", count: steps))
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertEqual(result.output.split(separator: "\n").count, steps + 1, result.output)
    return try String(contentsOfFile: folder.path("counts"), encoding: .utf8).split(separator: "\n").reduce(into: [:]) {
      let line = $1.split(separator: " ")
      $0[String(line[0])] = Int(line[1])
    }
  }

  override func setUpWithError() throws {
    let cpu = CPUDevice()
    try Safetensors.write(
      [
        "x": Tensor(repeating: 0.25, shape: [1, 3, 64, 64], device: cpu),
        "c": Tensor([1, 0, 0, 1, 0], shape: [1, 5], device: cpu),
      ], to: URL(fileURLWithPath: folder.path("input.safetensors")))
  }

  /// Registers may be too few for groups as large as the device's: tiles and all else are made smaller.
  func testKernelsThatRunInSmallGroups() throws {
    for groups in [256, 200, 64] {
      // All of two steps' launches but for what splits of products add: none was refused.
      XCTAssertGreaterThanOrEqual(try XCTUnwrap(counts(steps: 1, groups: groups)["launches"]), 2 * 120, "\(groups)")
    }
  }

  /// A step reads nothing back, makes no memory object, uploads nothing, and sets few arguments anew.
  func testWhatAStepAsksOfADevice() throws {
    let (few, many) = (try counts(steps: 3), try counts(steps: 13))
    let each = few.merging(many) { $1 - $0 }
    for name in ["reads", "buffers", "sub-buffers", "writes", "kernels"] { XCTAssertEqual(each[name], 0, name) }
    let launches = try XCTUnwrap(each["launches"])
    XCTAssertGreaterThan(launches, 10 * 60, "the network's layers, forward and backward")
    XCTAssertLessThanOrEqual(launches, 10 * 125)
    XCTAssertLessThanOrEqual(try XCTUnwrap(each["arguments"]), 6 * launches)
    XCTAssertEqual(each["finishes"], 10)
  }
}
