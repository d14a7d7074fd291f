import Foundation
import Kernels
import TestSupport
import XCTest

/// Every operation against PyTorch's float64: forward, first and second derivative, on every device present. TSDF_GOLDEN names one
/// case to be run alone.
final class GoldenTests: XCTestCase {
  private typealias Function = ([Tensor]) throws -> Tensor

  private let cases: [String: Function] = [
    "conv_3x3": { try $0[0].convolved(with: $0[1], bias: $0[2], padding: 1) },
    "conv_3x3_wide": { try $0[0].convolved(with: $0[1], padding: 1) },
    "conv_4x4_s2": { try $0[0].convolved(with: $0[1], bias: $0[2], stride: 2, padding: 1) },
    "conv_rectified_3x3": { try $0[0].convolved(with: $0[1], bias: $0[2], padding: 1, activation: .leakyReLU(0.1)) },
    "conv_rectified_7x7": { try $0[0].convolved(with: $0[1], bias: $0[2], padding: 3, activation: .leakyReLU(0.2)) },
    "conv_rectified_1x1": { try $0[0].convolved(with: $0[1], bias: $0[2], activation: .relu) },
    "conv_rectified_s2": {
      try $0[0].convolved(with: $0[1], bias: $0[2], stride: 2, padding: 1, activation: .leakyReLU(0.01))
    },
    "conv_rectified_grouped": {
      try $0[0].convolved(with: $0[1], bias: $0[2], padding: 1, groups: 4, activation: .leakyReLU(0.1))
    },
    "conv_7x7": { try $0[0].convolved(with: $0[1], bias: $0[2], padding: 3) },
    "conv_thin": { try $0[0].convolved(with: $0[1], bias: $0[2], padding: 1) },
    "conv_1x1": { try $0[0].convolved(with: $0[1], bias: $0[2]) },
    "conv_2x2": { try $0[0].convolved(with: $0[1], bias: $0[2]) },
    "conv_dilated": { try $0[0].convolved(with: $0[1], padding: 4, dilation: 3) },
    "conv_s3": { try $0[0].convolved(with: $0[1], stride: 3, padding: 2) },
    "conv_grouped": { try $0[0].convolved(with: $0[1], bias: $0[2], stride: 2, padding: 1, groups: 3) },
    "conv_depthwise": { try $0[0].convolved(with: $0[1], bias: $0[2], padding: 1, groups: 8) },
    "conv_rect": { try $0[0].convolved(with: $0[1], padding: 1) },
    "deconv_4x4_s2": { try $0[0].transposeConvolved(with: $0[1], bias: $0[2], stride: 2, padding: 1) },
    "deconv_3x3_op": { try $0[0].transposeConvolved(with: $0[1], stride: 2, padding: 1, outputPadding: 1) },
    "deconv_grouped": { try $0[0].transposeConvolved(with: $0[1], bias: $0[2], stride: 2, groups: 2) },
    "linear": { try $0[0].linear(weight: $0[1], bias: $0[2]) },
    "matmul_tn": { try $0[0].matrixMultiplied(by: $0[1], transposingSelf: true) },
    "matmul_tt": { try $0[0].matrixMultiplied(by: $0[1], transposingSelf: true, transposingOther: true) },
    "instance_norm": { try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2]) },
    "instance_norm_relu": { try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2], activation: .relu) },
    "instance_norm_leaky": { try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2], activation: .leakyReLU(0.2)) },
    "instance_norm_unbiased": {
      try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2], activation: .leakyReLU(0.2), isUnbiased: true)
    },
    "instance_norm_adaptive": {
      try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2], activation: .leakyReLU(0.2), isUnbiased: true)
    },
    "instance_norm_residual": {
      try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2], activation: .leakyReLU(0.3), adding: $0[3])
    },
    "instance_norm_slope": withSlope {
      try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2], activation: .leakyReLU(0.2))
    },
    "unbiased_norm_slope": withSlope {
      try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2], activation: .leakyReLU(0.2), isUnbiased: true)
    },
    "adaptive_norm_slope": withSlope {
      try $0[0].instanceNormalized(gamma: $0[1], beta: $0[2], activation: .leakyReLU(0.2), isUnbiased: true)
    },
    "batch_norm_slope": withSlope {
      try $0[0].batchNormalized(gamma: $0[1], beta: $0[2], activation: .leakyReLU(0.2)).output
    },
    "batch_norm_train": { try $0[0].batchNormalized(gamma: $0[1], beta: $0[2]).output },
    "relu": { try $0[0].relu() },
    "leaky_relu": { try $0[0].leakyReLU(slope: 0.01) },
    "prelu": { try $0[0].prelu(slope: $0[1]) },
    "tanh": { try $0[0].tanh() },
    "sigmoid": { try $0[0].sigmoid() },
    "softplus": { try $0[0].softplus() },
    "exp": { try $0[0].exp() },
    "log": { try $0[0].log() },
    "sqrt": { try $0[0].sqrt() },
    "abs": { try $0[0].abs() },
    "reciprocal": { try $0[0].reciprocal() },
    "power": { try $0[0].power(2.5) },
    "clamp": { try $0[0].clamped(to: -0.7...0.9) },
    "affine": { try $0[0].scaled(by: 2.5, plus: -0.75) },
    "add": { try $0[0] + $0[1] },
    "subtract": { try $0[0] - $0[1] },
    "multiply": { try $0[0] * $0[1] },
    "divide": { try $0[0] / $0[1] },
    "maximum": { try $0[0].maximum($0[1]) },
    "minimum": { try $0[0].minimum($0[1]) },
    "sum_all": { try $0[0].sum() },
    "sum_long": { try $0[0].sum() },
    "sum_outer": { try $0[0].sum(axes: [0]) },
    "mean_channels": { try $0[0].mean(axes: [0, 2, 3]) },
    "mean_keep": { try $0[0].mean(axes: [1, 3], keepingAxes: true) },
    "max_last": { try $0[0].max(axes: [2]) },
    "max_middle": { try $0[0].max(axes: [1]) },
    "softmax": { try $0[0].softmax(axis: 1) },
    "log_sum_exp": { try $0[0].logSumExp(axis: 1) },
    "max_pool": { try $0[0].maxPooled(size: 3, stride: 2, padding: 1) },
    "max_pool_ceil": { try $0[0].maxPooled(size: 2, ceilMode: true) },
    "max_pool_3_ceil": { try $0[0].maxPooled(size: 3, stride: 2, ceilMode: true) },
    "median_pool": { try $0[0].medianPooled(size: 3) },
    "median_pool_5": { try $0[0].medianPooled(size: 5) },
    "average_pool": { try $0[0].averagePooled(size: 3, stride: 2, padding: 1) },
    "average_pool_ceil": { try $0[0].averagePooled(size: 3, stride: 2, padding: 1, ceilMode: true) },
    "average_pool_2": { try $0[0].averagePooled(size: 2) },
    "average_pool_3": { try $0[0].averagePooled(size: 3) },
    "nearest_2": { try $0[0].resized(height: 10, width: 38, mode: .nearest) },
    "nearest_3": { try $0[0].resized(height: 6, width: 15, mode: .nearest) },
    "area_2": { try $0[0].resized(height: 4, width: 17, mode: .area) },
    "bilinear_up": { try $0[0].resized(height: 17, width: 13) },
    "bilinear_down": { try $0[0].resized(height: 5, width: 4) },
    "bilinear_corners": { try $0[0].resized(height: 11, width: 5, mode: .bilinearAlignedCorners) },
    "bilinear_corners_one": { try $0[0].resized(height: 1, width: 1, mode: .bilinearAlignedCorners) },
    "nearest": { try $0[0].resized(height: 13, width: 6, mode: .nearest) },
    "area": { try $0[0].resized(height: 4, width: 5, mode: .area) },
    "antialiased": { try $0[0].resized(height: 4, width: 5, mode: .antialiased) },
    "antialiased_mixed": { try $0[0].resized(height: 3, width: 11, mode: .antialiased) },
    "antialiased_one": { try $0[0].resized(height: 1, width: 1, mode: .antialiased) },
    "area_up": { try $0[0].resized(height: 7, width: 9, mode: .area) },
    "permute": { try $0[0].permuted([0, 2, 3, 1]) },
    "slice": { try $0[0].sliced(axis: 1, 1..<4) },
    "pad": { try $0[0].padded(top: 3, bottom: 0, left: 1, right: 2) },
    "broadcast": { try $0[0].broadcast(to: [4, 3, 5]) },
    "concatenate": { try Tensor.concatenated($0, axis: 1) },
    "add_spread": { try $0[0].adding(spread: $0[1]) },
    "add_spread_one": { try $0[0].adding(spread: $0[1]) },
    "gather": { try $0[0].gatheringRows([2, 0, 2, 1]) },
    "mse": { try $0[0].meanSquaredError(to: $0[1]) },
    "l1": { try $0[0].meanAbsoluteError(to: $0[1]) },
    "bce": { try $0[0].binaryCrossEntropy(withTarget: $0[1]) },
    "cross_entropy": { try $0[0].crossEntropy(withClasses: [1, 0, 2]) },
    "gradient_penalty": { input in
      let hidden = try input[0].convolved(with: input[1], stride: 2, padding: 1).leakyReLU(slope: 0.01)
      let score = try hidden.convolved(with: input[2])
      let slope = try gradients(of: score.sum(), withRespectTo: [input[0]], createGraph: true)[0]
      let norm = try slope.reshaped([3, -1]).squared().sum(axes: [1]).sqrt()
      return try (norm - 1).squared().mean()
    },
  ]

  /// A function's value times its slope along the last input.
  private static func withSlope(_ function: @escaping Function) -> Function {
    { input in
      let y = try function(input)
      return try y * gradients(of: y, withRespectTo: [input[0]], seed: input[3], createGraph: true)[0]
    }
  }

  func testAgainstPyTorch() throws { try checkAll(tolerance: 1e-4) }

  /// Activations kept in half precision cost the gradients no more than its rounding.
  func testKeptHalvesAgainstPyTorch() throws { try Autograd.keeping(.half) { try checkAll(tolerance: 5e-3) } }

  private func checkAll(tolerance: Double) throws {
    let golden = try Safetensors(contentsOf: goldenURL("operations"))
    for device in try testDevices() {
      var cases = cases
      let mean = try golden.tensor("batch_norm_eval/mean", on: device)
      let variance = try golden.tensor("batch_norm_eval/var", on: device)
      cases["batch_norm_eval"] = { try $0[0].normalized(mean: mean, variance: variance, gamma: $0[1], beta: $0[2]) }
      let named = Set(golden.names.map { String($0.prefix { $0 != "/" }) }).subtracting(["adam"])
      XCTAssertEqual(named, Set(cases.keys), "cases and goldens differ")
      if let wanted = ProcessInfo.processInfo.environment["TSDF_GOLDEN"] {
        XCTAssertNotNil(cases[wanted], "there is no case \(wanted)")
        cases = cases.filter { $0.key == wanted }
      }
      for (name, function) in cases.sorted(by: { $0.key < $1.key }) {
        do {
          try check(name, function, golden, device, tolerance)
        } catch {
          XCTFail("\(name) on \(device.name): \(error)")
        }
      }
    }
  }

  private func check(
    _ name: String, _ function: Function, _ golden: Safetensors, _ device: any Device, _ tolerance: Double
  )
    throws
  {
    func value(_ part: String) throws -> Tensor { try golden.tensor("\(name)/\(part)", on: device) }
    func expect(_ found: Tensor, _ part: String) throws {
      XCTAssertEqual(found.shape, golden.shape(of: "\(name)/\(part)"), "\(name)/\(part) on \(device.name)")
      let error = relativeError(try found.values(), try golden.values(of: "\(name)/\(part)"))
      // Written so that NaN fails.
      XCTAssertTrue(error < tolerance, "\(name)/\(part) on \(device.name): relative error \(error)")
    }
    let inputs = try (0..<4).filter { golden.shape(of: "\(name)/i\($0)") != nil }.map {
      try value("i\($0)").requiringGradient()
    }
    let upstream = try value("g").requiringGradient()
    let second = golden.shape(of: "\(name)/v0") != nil
    let output = try function(inputs)
    try expect(output, "y")
    let first = try gradients(of: output, withRespectTo: inputs, seed: upstream, createGraph: second)
    for (index, gradient) in first.enumerated() { try expect(gradient, "d\(index)") }
    if second {
      var total = try Tensor(repeating: 0, shape: [], device: device)
      for (index, gradient) in first.enumerated() { total = try total + (gradient * value("v\(index)")).sum() }
      let found = try gradients(of: total, withRespectTo: inputs + [upstream])
      for (index, gradient) in found.enumerated() { try expect(gradient, index < inputs.count ? "e\(index)" : "eg") }
    }
    // The consuming path (fused kernels) must agree with the recording one.
    let consumed = try gradients(of: function(inputs), withRespectTo: inputs, seed: upstream)
    for (index, gradient) in consumed.enumerated() { try expect(gradient, "d\(index)") }
  }

  func testAdamAgainstPyTorch() throws {
    let golden = try Safetensors(contentsOf: goldenURL("operations"))
    for device in try testDevices() {
      let a = try golden.tensor("adam/a", on: device)
      let optimizer = Adam(learningRate: 0.01, beta1: 0.5, beta2: 0.999)
      let parameter = try golden.tensor("adam/p", on: device).requiringGradient()
      for _ in 0..<5 {
        let gradient = try gradients(of: (a * parameter * parameter).sum(), withRespectTo: [parameter])[0]
        try optimizer.step([("p", parameter, gradient)])
      }
      let error = relativeError(try parameter.values(), try golden.values(of: "adam/after"))
      XCTAssertTrue(error < 1e-5, "Adam on \(device.name): \(error)")
    }
  }
}
