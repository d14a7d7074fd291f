import Foundation
import Kernels
import TestSupport
import XCTest

/// Which of several GPUs is taken.
final class DeviceChoiceTests: XCTestCase {
  private func run(_ arguments: String..., gpus: String) throws -> RunResult {
    try tsdf(arguments, environment: ["OCL_ICD_VENDORS": nullDriver, "NULL_DRIVER_DEVICES": gpus])
  }

  private func taken(of gpus: String) throws -> [String: String] {
    let result = try run("devices", "--json", gpus: gpus)
    XCTAssertEqual(result.status, 0, result.errors)
    let listing = try XCTUnwrap(JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    return ["auto": listing["auto"] as? String ?? "", "reason": listing["reason"] as? String ?? ""]
  }

  /// Memory of its own before the host's, then the most of it; in whatever order the loader has them.
  func testTheLargestGPUIsTaken() throws {
    for gpus in ["shared:64:1:3.0,small:8:0:1.2,large:24:0:3.0", "large:24:0:3.0,small:8:0:1.2,shared:64:1:3.0"] {
      XCTAssertEqual(try taken(of: gpus), ["auto": "large", "reason": "the largest of 3, GPU"], gpus)
    }
    XCTAssertEqual(try taken(of: "shared:64:1:3.0,less:32:1:3.0")["auto"], "shared")
    XCTAssertEqual(try taken(of: "first:8:0:3.0,second:8:0:3.0")["auto"], "first")
    XCTAssertEqual(try taken(of: "alone:8:0:1.2"), ["auto": "alone", "reason": "the only GPU"])
  }

  /// One whose OpenCL is too old is passed over, and says why where it is asked for.
  func testAGPUOfAnOlderOpenCLIsPassedOver() throws {
    XCTAssertEqual(try taken(of: "old:99:0:1.1,new:8:0:1.2")["auto"], "new")
    XCTAssertEqual(try taken(of: "old:99:0:1.1")["auto"], CPUDevice().name)
    let asked = try run("detect", "--device", "old", "/nowhere.png", gpus: "old:99:0:1.1,new:8:0:1.2")
    XCTAssertEqual(asked.status, 69, asked.errors)
    XCTAssertTrue(asked.errors.contains("old is not used") && asked.errors.contains("OpenCL 1.2"), asked.errors)
  }
}
