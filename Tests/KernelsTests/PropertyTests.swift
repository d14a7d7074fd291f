import Foundation
import Kernels
import TestSupport
import XCTest

/// What must hold on any shape: OpenCL agrees with the CPU fallback, gradients with finite differences, runs repeat bit
/// for bit, and wrong calls are refused by name.
final class PropertyTests: XCTestCase {
  private struct Convolution: CustomStringConvertible {
    var input: Shape, weight: Shape
    var stride = 1, padding = 1, dilation = 1, groups = 1
    var slope: Float = 1
    var description: String { "conv \(input) * \(weight) s\(stride) p\(padding) d\(dilation) g\(groups)" }

    /// The output and the gradients of input, weight and bias for an upstream gradient, all from `seed`.
    func results(seed: UInt64, on device: any Device) throws -> [[Float]] {
      var random = RandomStream(seed: seed)
      let inputs = try [input, weight, [weight[0]]].map { try random.normal($0, device: device).requiringGradient() }
      let y = try inputs[0].convolved(
        with: inputs[1], bias: inputs[2], stride: stride, padding: padding, dilation: dilation, groups: groups,
        activation: .leakyReLU(slope))
      let upstream = try random.normal(y.shape, device: device)
      return try ([y] + gradients(of: y, withRespectTo: inputs, seed: upstream)).map { try $0.values() }
    }

    /// The output with a PReLU, of slopes of either sign, in the convolution's kernel or after it.
    func rectified(seed: UInt64, on device: any Device, fused: Bool) throws -> [Float] {
      var random = RandomStream(seed: seed)
      let inputs = try [input, weight, [weight[0]], [weight[0]]].map { try random.normal($0, device: device) }
      let y = try inputs[0].convolved(
        with: inputs[1], bias: inputs[2], stride: stride, padding: padding, dilation: dilation, groups: groups,
        activation: fused ? .prelu(inputs[3]) : .identity)
      return try (fused ? y : y.prelu(slope: inputs[3])).values()
    }
  }

  private func requireAgreement(_ convolutions: [Convolution], on devices: [any Device]? = nil) throws {
    let host = CPUDevice()
    for device in try devices ?? testDevices() where !(device is CPUDevice) {
      // What ends long loops early makes wrong sums over large images (docs/gpu.md).
      let endsLoops = try !((device as? OpenCLDevice)?.runsLongLoops() ?? true)
      for (round, convolution) in convolutions.enumerated()
      where !(endsLoops && convolution.input.elementCount > 1 << 20) {
        let (found, expected) = (
          try convolution.results(seed: UInt64(round), on: device),
          try convolution.results(seed: UInt64(round), on: host)
        )
        for part in found.indices {
          let error = relativeError(found[part], expected[part])
          XCTAssertTrue(error < 2e-5, "part \(part) of \(convolution) on \(device.name): \(error)")
        }
        let plain = try convolution.rectified(seed: UInt64(round), on: host, fused: false)
        for device in [device, host] {
          let error = relativeError(try convolution.rectified(seed: UInt64(round), on: device, fused: true), plain)
          XCTAssertTrue(error < 2e-5, "PReLU of \(convolution) on \(device.name): \(error)")
        }
      }
    }
  }

  /// Random convolutions, odd sizes included, forward and both gradients, on every OpenCL device against the fallback.
  func testRandomConvolutionsAgree() throws {
    var choice = RandomStream(seed: 77)
    func pick(_ values: [Int]) -> Int { values[choice.integer(below: values.count)] }
    try requireAgreement(
      (0..<40).map { _ in
        let kernel = pick([1, 2, 3, 3, 3, 4, 5, 7])
        let groups = pick([1, 1, 1, 2, 4])
        return Convolution(
          input: [
            pick([1, 2, 3]), groups * pick([1, 3, 4, 17]), pick([7, 13, 16, 31, 33, 64]), pick([7, 9, 31, 33, 65]),
          ],
          weight: [groups * pick([1, 2, 5, 16, 31]), 0, kernel, kernel], stride: pick([1, 1, 2, 3]),
          padding: pick([0, 1, 2]), dilation: kernel <= 3 ? pick([1, 1, 2]) : 1, groups: groups)
      }.map { convolution in
        var convolution = convolution
        convolution.weight[1] = convolution.input[1] / convolution.groups
        return convolution
      })
  }

  /// The shapes at which one algorithm hands over to another, at widths that fill vectors, and that do not: quads of
  /// tiles and single ones, several chunks of panels, odd extents, paddings that reach over an edge.
  func testConvolutionAlgorithmsAgree() throws {
    try requireAgreement([
      Convolution(input: [1, 16, 64, 64], weight: [22, 16, 3, 3]),
      Convolution(input: [2, 17, 20, 33], weight: [16, 17, 3, 3], padding: 0),
      Convolution(input: [1, 130, 66, 129], weight: [140, 130, 3, 3]),
      Convolution(input: [1, 16, 64, 64], weight: [18, 16, 4, 4], stride: 2),
      Convolution(input: [2, 18, 47, 51], weight: [16, 18, 4, 4], stride: 2),
      Convolution(input: [17, 16, 16, 17], weight: [20, 16, 4, 4], stride: 2, slope: 0.2),
      Convolution(input: [1, 70, 130, 258], weight: [64, 70, 4, 4], stride: 2),
      Convolution(input: [1, 8, 40, 70], weight: [19, 8, 7, 7], padding: 3),
      Convolution(input: [2, 5, 21, 40], weight: [3, 5, 7, 7], padding: 3),
      Convolution(input: [1, 33, 17, 16], weight: [40, 33, 1, 1], padding: 0),
      Convolution(
        input: [1, 16, 64, 61], weight: [22, 16, 3, 3], padding: 3, dilation: 3, slope: 0.2),
      Convolution(input: [2, 17, 40, 34], weight: [16, 17, 3, 3], padding: 0, dilation: 2),
      Convolution(input: [1, 16, 33, 38], weight: [18, 16, 3, 3], padding: 4, dilation: 2),
      Convolution(input: [1, 16, 33, 38], weight: [18, 16, 3, 3], padding: 3, dilation: 2),
    ])
  }

  /// One small shape for each algorithm: few enough for a simulator that checks every access.
  private static let smallConvolutions = [
    Convolution(input: [5, 16, 8, 7], weight: [18, 16, 3, 3], padding: 2),
    Convolution(input: [65, 16, 9, 8], weight: [16, 16, 4, 4], stride: 2),
    Convolution(input: [2, 3, 9, 20], weight: [4, 3, 7, 7], padding: 3),
    Convolution(input: [1, 17, 9, 33], weight: [3, 17, 7, 7], padding: 3),
    Convolution(input: [1, 12, 12, 11], weight: [70, 12, 3, 3]),
    Convolution(input: [5, 16, 16, 14], weight: [16, 16, 3, 3], padding: 2, dilation: 2),
  ]

  func testSmallConvolutionAlgorithmsAgree() throws { try requireAgreement(Self.smallConvolutions) }

  /// The processor's class for registers of 8 and of 16 floats, whichever the device at hand has.
  func testVectorWidthsAgree() throws {
    for info in try openCLDevices() {
      for lanes in [8, 16] {
        var parameters = KernelParameters(for: info, isProcessor: true)
        parameters.vectorLanes = lanes
        try requireAgreement(Self.smallConvolutions, on: [OpenCLDevice(info, parameters: parameters)])
      }
    }
  }

  /// The tiles of the GPU class, in every size of work-group, with and without the depth split: rows, columns and depths
  /// that fill tiles and that do not.
  func testTilesAgree() throws {
    let convolutions = [
      Convolution(input: [2, 40, 13, 21], weight: [7, 40, 3, 3], stride: 2, slope: 0.1),
      Convolution(input: [1, 9, 40, 33], weight: [16, 9, 7, 7], padding: 3),
      Convolution(input: [3, 33, 11, 12], weight: [50, 33, 5, 5], padding: 2, dilation: 2),
      Convolution(input: [1, 160, 16, 16], weight: [144, 160, 1, 1], padding: 0),
      Convolution(input: [1, 250, 16, 15], weight: [250, 250, 1, 1], padding: 0),
      Convolution(input: [2, 20, 21, 37], weight: [3, 20, 7, 7], padding: 3, slope: 0.1),
      Convolution(input: [1, 33, 9, 40], weight: [4, 33, 7, 7], padding: 1),
      Convolution(input: [1, 3, 9, 40], weight: [64, 3, 7, 7], padding: 3),
      Convolution(input: [2, 17, 6, 5], weight: [1, 17, 7, 7], padding: 3),
      Convolution(input: [2, 19, 15, 17], weight: [130, 19, 3, 4], stride: 3),
    ]
    for info in try openCLDevices() {
      for items in [64, 128, 256] where items <= info.maxWorkGroupSize {
        for groups in [1, 100] {
          var parameters = KernelParameters(for: info, isProcessor: false)
          (parameters.tileItems, parameters.tiledGroups) = (items, groups)
          try requireAgreement(convolutions, on: [OpenCLDevice(info, parameters: parameters)])
        }
      }
    }
  }

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

  /// An element comes out the same, to the last bit, in tiles of every size, which may differ with what shares a batch.
  func testTilesGiveTheSameBits() throws {
    for info in try openCLDevices() {
      let device = try OpenCLDevice(info, parameters: KernelParameters(for: info, isProcessor: false))
      var random = RandomStream(seed: 9)
      let x = try random.normal([1, 170, 40, 15], device: device)
      let w = try random.normal([250, 170, 1, 1], device: device)
      // Beyond 64 columns tiles may be large; these are.
      let (whole, part) = try device.planning(forBatchesOf: 2) {
        (try x.convolved(with: w), try x.sliced(axis: 2, 0..<4).convolved(with: w))
      }
      XCTAssertEqual(try whole.sliced(axis: 2, 0..<4).values(), try part.values(), info.name)
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
