import Foundation
import Kernels
import TestSupport
import XCTest

/// What must hold on any shape: OpenCL agrees with the CPU fallback, gradients with finite differences, runs repeat bit
/// for bit, and wrong calls are refused by name.
final class PropertyTests: XCTestCase {
  /// Norms of planes that vectors of both classes fill, and of others; their gradients, and those of the gradients' squares.
  func testNormsAgree() throws {
    func results(_ shape: Shape, isBatch: Bool, on device: any Device) throws -> [[Float]] {
      var random = RandomStream(seed: 11)
      let inputs = try [shape, [shape[1]], [shape[1]]].map {
        try random.normal($0, device: device).requiringGradient()
      }
      let activation = Activation.leakyReLU(0.2)
      let y =
        isBatch
        ? try inputs[0].batchNormalized(gamma: inputs[1], beta: inputs[2], activation: activation).output
        : try inputs[0].instanceNormalized(gamma: inputs[1], beta: inputs[2], activation: activation)
      let upstream = try random.normal(shape, device: device)
      let first = try gradients(of: y, withRespectTo: inputs, seed: upstream, createGraph: true)
      let second = try gradients(of: first[0].squared().sum(), withRespectTo: [inputs[0], inputs[1]])
      return try ([y] + first + second).map { try $0.values() }
    }
    let host = CPUDevice()
    let classes = try openCLDevices().flatMap { info in
      try [false, true].map {
        try OpenCLDevice(info, parameters: KernelParameters(for: info, isProcessor: $0))
      }
    }
    for shape in [[2, 3, 64, 64], [1, 2, 67, 61], [3, 2, 10, 26], [2, 3, 72, 58]] as [Shape] {
      for isBatch in [false, true] {
        let expected = try results(shape, isBatch: isBatch, on: host)
        for device in try classes + testDevices() {
          for (part, found) in try results(shape, isBatch: isBatch, on: device).enumerated() {
            let error = relativeError(found, expected[part])
            XCTAssertLessThan(error, 5e-5, "part \(part) of \(shape), batch norm: \(isBatch), on \(device.name)")
          }
        }
      }
    }
  }

  /// Central differences of the CPU's float32 functions, at second order too: the gradient of a gradient's norm.
  func testFiniteDifferences() throws {
    for device in try testDevices() {
      var random = RandomStream(seed: 5)
      let x = try random.normal([2, 3, 6, 6], device: device)
      let w = try random.normal([4, 3, 3, 3], device: device) * 0.3
      let gamma = try random.uniform([4], in: 0.5..<1.5, device: device)
      let beta = try random.normal([4], device: device)
      func smooth(_ x: Tensor) throws -> Tensor {
        let y = try x.convolved(with: w, padding: 1).instanceNormalized(gamma: gamma, beta: beta).tanh()
        return try y.resized(height: 5, width: 7).squared().mean()
      }
      func slopeNorm(_ x: Tensor) throws -> Tensor {
        let leaf = x.requiresGradient ? x : x.requiringGradient()
        return try gradients(of: smooth(leaf), withRespectTo: [leaf], createGraph: true)[0].squared().sum()
      }
      for (name, function, tolerance) in [("first", smooth, 2e-3), ("second", slopeNorm, 2e-2)] {
        let leaf = x.requiringGradient()
        let gradient = try gradients(of: function(leaf), withRespectTo: [leaf])[0].values()
        let direction = try random.normal(x.shape, device: device)
        let step: Float = 2e-2
        let ahead = try function(x + direction * step).item()
        let behind = try function(x - direction * step).item()
        let measured = (ahead - behind) / (2 * step)
        let expected = zip(gradient, try direction.values()).reduce(0) { $0 + $1.0 * $1.1 }
        XCTAssertEqual(Double(measured / expected), 1, accuracy: tolerance, "\(name) derivative on \(device.name)")
      }
    }
  }

  /// Every elementwise function, on every OpenCL device against the fallback: rows that fill vectors and that do not, broadcast or
  /// not.
  func testElementwiseFunctionsAgree() throws {
    let host = CPUDevice()
    func requireAgreement(_ name: String, on device: any Device, _ function: (any Device) throws -> Tensor) throws {
      for (found, expected) in zip(try function(device).values(), try function(host).values()) {
        let isClose = abs(found - expected) <= 1e-5 * max(1, abs(expected))
        guard isClose || found.isNaN && expected.isNaN || found == expected else {
          return XCTFail("\(name) on \(device.name): \(found), not \(expected)")
        }
      }
    }
    for device in try testDevices() where !(device is CPUDevice) {
      for width in [1, 7, 16, 35] {
        for operation in UnaryOperation.allCases {
          try requireAgreement("\(operation) of \(3 * width)", on: device) {
            var random = RandomStream(seed: 11)
            return try random.normal([3, width], device: $0).unary(operation, a: 0.25, b: 0.75)
          }
        }
        for operation in BinaryOperation.allCases {
          for (left, right) in [([3, width], [3, width]), ([3, width], [3, 1]), ([1, width], [3, 1])] {
            try requireAgreement("\(operation) of \(left) and \(right)", on: device) {
              var random = RandomStream(seed: 12)
              let x = try random.normal(left, device: $0)
              return try Tensor.binary(operation, x, random.normal(right, device: $0), parameter: 0.25)
            }
          }
        }
      }
    }
  }

  /// More rows than the 65,535 work-groups that some devices run along any axis but the first.
  func testManyRowsAgree() throws {
    func results(on device: any Device) throws -> [[Float]] {
      var random = RandomStream(seed: 13)
      let x = try random.normal([70_000, 70], device: device)
      let y = try x * random.normal([70_000, 1], device: device)
      return try [y, y.sum(axes: [1]), y.reshaped([70_000, 1, 7, 10]).maxPooled(size: 2)].map { try $0.values() }
    }
    let expected = try results(on: CPUDevice())
    for device in try testDevices() where !(device is CPUDevice) {
      for (found, expected) in zip(try results(on: device), expected) {
        XCTAssertLessThan(relativeError(found, expected), 1e-5, device.name)
      }
    }
  }

  func testRandomNumbersAreTheSameBitsEverywhere() throws {
    let devices = try testDevices()
    for count in [1, 4, 1023, 40_000] {
      for position in [0, 1 << 33] as [UInt64] {
        let draws = try devices.map { device -> [[UInt32]] in
          var random = RandomStream(seed: 0x1234_5678_9abc_def0, position: position)
          let uniform = try random.uniform([count], device: device).values()
          let normal = try random.normal([count], device: device).values()
          return [uniform.map(\.bitPattern), normal.map(\.bitPattern)]
        }
        for other in draws.dropFirst() { XCTAssertEqual(other, draws[0]) }
      }
    }
    var random = RandomStream(seed: 3)
    let normal = try random.normal([100_000], device: CPUDevice()).values().map(Double.init)
    let mean = normal.reduce(0, +) / 1e5
    let fourth = normal.reduce(0) { $0 + pow($1, 4) } / 1e5
    XCTAssertEqual(mean, 0, accuracy: 0.01)
    XCTAssertEqual(normal.reduce(0) { $0 + $1 * $1 } / 1e5, 1, accuracy: 0.015)
    XCTAssertEqual(fourth, 3, accuracy: 0.1)
    // Random123's known answers for philox4x32-10 with all-zero counter and key begin 6627e8d5 e169c58d.
    var zero = RandomStream(seed: 0)
    let bits = try zero.uniform([2], device: CPUDevice()).values()
    XCTAssertEqual(bits, [Float(0x6627e8) * 0x1p-24, Float(0xe169c5) * 0x1p-24])
  }

  func testRunsRepeatBitForBit() throws {
    for device in try testDevices() {
      func run() throws -> [UInt32] {
        var random = RandomStream(seed: 9)
        let x = try random.normal([2, 16, 24, 24], device: device).requiringGradient()
        let w = try random.normal([16, 16, 3, 3], device: device).requiringGradient()
        let y = try x.convolved(with: w, padding: 1).relu().sum()
        return try gradients(of: y, withRespectTo: [x, w]).flatMap { try $0.values().map(\.bitPattern) }
      }
      XCTAssertEqual(try run(), try run(), device.name)
    }
  }

  /// Halves go to the even number, on every device; a stand-in's values come with the gradient of what they stand for.
  func testRoundingAndStandIns() throws {
    for device in try testDevices() {
      let x = try Tensor([-1.5, -0.5, 0.4, 0.5, 1.5, 2.6], shape: [6], device: device).requiringGradient()
      let rounded = try x.rounded()
      XCTAssertEqual(try rounded.values(), [-2, 0, 0, 0, 2, 3], device.name)
      XCTAssertFalse(rounded.requiresGradient)
      let standIn = try (x * 3).withValues(of: rounded)
      XCTAssertEqual(try standIn.values(), try rounded.values())
      XCTAssertEqual(
        try gradients(of: standIn, withRespectTo: [x])[0].values(), [Float](repeating: 3, count: 6), device.name)
      XCTAssertThrowsError(try x.withValues(of: x.reshaped([2, 3])))
    }
  }

  func testWrongCallsAreRefusedByName() throws {
    let device = CPUDevice()
    func zeros(_ shape: Shape) throws -> Tensor { try Tensor(repeating: 0, shape: shape, device: device) }
    let x = try zeros([2, 3, 4, 5])
    let calls: [(String, () throws -> Tensor)] = [
      ("conv2d", { try x.convolved(with: zeros([8, 4, 3, 3])) }),
      ("conv2d", { try x.convolved(with: zeros([8, 3, 7, 7])) }),
      ("transposed conv2d", { try x.transposeConvolved(with: zeros([4, 3, 3, 3])) }),
      ("matrix multiply", { try zeros([2, 3]).matrixMultiplied(by: zeros([4, 5])) }),
      ("add", { try x + zeros([7]) }),
      ("reshape", { try x.reshaped([7, -1]) }),
      ("permute", { try x.permuted([0, 1, 2]) }),
      ("slice", { try x.sliced(axis: 1, 2..<9) }),
      ("concatenate", { try Tensor.concatenated([x, zeros([2, 3, 4, 6])], axis: 1) }),
      ("gather", { try x.gatheringRows([2]) }),
      ("max pool", { try x.maxPooled(size: 9) }),
      ("resize", { try x.resized(height: 0, width: 3) }),
      ("instance norm", { try x.instanceNormalized(gamma: zeros([4]), beta: zeros([3])) }),
      ("instance norm", { try x.instanceNormalized(gamma: zeros([3]), beta: zeros([3]), adding: zeros([3])) }),
      ("sum", { try x.sum(axes: [4]) }),
      ("cross entropy", { try zeros([2, 3]).crossEntropy(withClasses: [0, 3]) }),
    ]
    for (name, call) in calls {
      XCTAssertThrowsError(try call()) { error in
        guard let error = error as? KernelsError, case .shape(let operation, let message) = error else {
          return XCTFail("\(name): \(error)")
        }
        XCTAssertEqual(operation, name)
        XCTAssertFalse(message.isEmpty)
      }
    }
    XCTAssertThrowsError(try gradients(of: x, withRespectTo: [x]))
    let leaf = x.requiringGradient()
    let loss = try leaf.squared().sum()
    _ = try gradients(of: loss, withRespectTo: [leaf])
    XCTAssertThrowsError(try gradients(of: loss, withRespectTo: [leaf])) {
      XCTAssertTrue("\($0)".contains("consumed"), "\($0)")
    }
  }

  func testDeviceSelection() throws {
    XCTAssertEqual(try selectDevice("cpu").device.name, CPUDevice().name)
    XCTAssertThrowsError(try selectDevice("nothing of this name")) {
      XCTAssertTrue("\($0)".contains("no device matches 'nothing of this name'"), "\($0)")
    }
    for info in try openCLDevices() {
      guard try OpenCLDevice(info).runsLongLoops() else {
        XCTAssertTrue(info.name.hasPrefix("llvmpipe"), info.name)
        XCTAssertThrowsError(try selectDevice(info.name)) {
          XCTAssertTrue("\($0)".contains("ends long loops"), "\($0)")
        }
        XCTAssertNotEqual(try selectDevice().device.name, info.name)
        continue
      }
      XCTAssertEqual(try selectDevice("opencl:\(info.platformIndex):\(info.deviceIndex)").device.name, info.name)
      XCTAssertEqual(
        try selectDevice(String(info.name.prefix(9)).lowercased()).device.name.prefix(9), info.name.prefix(9))
    }
  }

  func testOperationsAcrossDevicesAreRefused() throws {
    let a = try Tensor([1], shape: [1], device: CPUDevice())
    let b = try Tensor([1], shape: [1], device: CPUDevice())
    XCTAssertThrowsError(try a + b)
  }
}
