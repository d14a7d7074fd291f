import Foundation
import Kernels
import TestSupport
import XCTest

/// Every algorithm for convolutions, in both classes of kernels, agrees with the CPU fallback.
final class ConvolutionTests: XCTestCase {
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
      for (round, convolution) in convolutions.enumerated() {
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
}
