import Kernels
import TestSupport
import XCTest

/// The projected sign step against a plain loop, on every device.
final class SignStepTests: XCTestCase {
  func testAgainstPlainLoop() throws {
    let count = 1037
    var random = RandomStream(seed: 11)
    func draw(_ bound: Float) throws -> [Float] {
      try random.uniform([count], in: -bound..<bound, device: CPUDevice()).values()
    }
    let (start, centre, velocity) = (try draw(0.1), try draw(0.05), try draw(1))
    // Zeros of both signs among the gradients: they move nothing where there is no velocity.
    let gradients = try (0..<3).map { _ in try draw(2).enumerated().map { $0 % 7 == 0 ? 0 : $0 % 11 == 0 ? -0.0 : $1 } }
    for (scale, momentum, isStill) in [(Float(1), Float(0), true), (0.25, 0.9, false), (-2, 0.5, false)] {
      var (expected, m) = (start, isStill ? [Float](repeating: 0, count: count) : velocity)
      for device in try testDevices() {
        func tensor(_ values: [Float]) throws -> Tensor { try Tensor(values, shape: [count], device: device) }
        (expected, m) = (start, isStill ? [Float](repeating: 0, count: count) : velocity)
        let (value, moving) = (try tensor(start), try tensor(m))
        for gradient in gradients {
          try value.takeSignStep(
            gradient: tensor(gradient), scale: Tensor([scale], shape: [1], device: device), centre: tensor(centre),
            velocity: moving, stepSize: 0.03, momentum: momentum, bound: 0.06)
          for i in 0..<count {
            m[i] = momentum * m[i] + gradient[i] * scale
            let moved = expected[i] - (m[i] > 0 ? 0.03 : m[i] < 0 ? -0.03 : 0)
            expected[i] = min(max(moved, centre[i] - 0.06), centre[i] + 0.06)
          }
        }
        let (found, velocities) = (try value.values(), try moving.values())
        for i in 0..<count {
          XCTAssertEqual(found[i], expected[i], accuracy: 1e-6, "\(i) on \(device.name)")
          XCTAssertEqual(velocities[i], m[i], accuracy: 1e-5, "\(i) on \(device.name)")
          XCTAssertLessThanOrEqual(abs(found[i] - centre[i]), 0.06 + 1e-6)
        }
        XCTAssertTrue(zip(found, start).contains { $0 != $1 })
      }
    }
  }

  /// What is no number must be seen, not be brought into bounds.
  func testNaNStays() throws {
    for device in try testDevices() {
      let value = try Tensor([.nan, 0.5], shape: [2], device: device)
      let (zero, velocity) = (
        try Tensor(repeating: 0, shape: [2], device: device), try Tensor(repeating: 0, shape: [2], device: device)
      )
      try value.takeSignStep(gradient: zero, centre: zero, velocity: velocity, stepSize: 0.1, momentum: 0, bound: 0.2)
      let found = try value.values()
      XCTAssertTrue(found[0].isNaN, device.name)
      XCTAssertEqual(found[1], 0.2, device.name)
    }
  }

  func testShapesMustAgree() throws {
    for device in try testDevices() {
      let (a, b) = (
        try Tensor(repeating: 0, shape: [4], device: device), try Tensor(repeating: 0, shape: [2, 2], device: device)
      )
      XCTAssertThrowsError(
        try a.takeSignStep(gradient: b, centre: a, velocity: a, stepSize: 1, momentum: 0, bound: 1)
      ) { XCTAssertTrue("\($0)".contains("sign step"), "\($0)") }
    }
  }
}
