import Kernels
import XCTest

final class KernelSourceTests: XCTestCase {
  /// A section that kernels.cl does not have is an error, not nothing to build.
  func testUnknownSection() throws {
    XCTAssertTrue(try KernelSource.section("gemm").contains("kernel void gemm_packed("))
    for name in ["tiled_large", "", "Gemm"] {
      XCTAssertThrowsError(try KernelSource.section(name)) {
        XCTAssertEqual("\($0)", "kernels.cl has no section \(name)")
      }
    }
  }

  /// A dry run counts what is alive at once, and reads back zeros.
  func testPlanning() throws {
    let device = PlanningDevice()
    var x: Tensor? = try Tensor(repeating: 1, shape: [1000], device: device)
    XCTAssertEqual(device.memory.current, 4000)
    do {
      let y = try x! + x!
      XCTAssertEqual(device.memory.current, 8000)
      XCTAssertEqual(try y.values(), [Float](repeating: 0, count: 1000))
    }
    x = nil
    XCTAssertEqual(device.memory.current, 0)
    XCTAssertEqual(device.memory.peak, 8000)
    let leaf = try Tensor(repeating: 1, shape: [1 << 20, 1 << 20], device: device).requiringGradient()
    XCTAssertEqual(try gradients(of: leaf.relu().sum(), withRespectTo: [leaf])[0].shape, [1 << 20, 1 << 20])
    XCTAssertGreaterThan(device.memory.peak, 2 << 42)
    XCTAssertThrowsError(try Tensor(repeating: 1, shape: [1 << 30, 1 << 30], device: device))
  }
}
