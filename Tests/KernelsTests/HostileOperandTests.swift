import Foundation
import Kernels
import TestSupport
import XCTest

/// Operands that no kernel could take are refused before one runs: another device's, and shapes and numbers that cannot be.
final class HostileOperandTests: XCTestCase {
  private func tensor(_ shape: [Int], _ device: any Device) throws -> Tensor {
    try Tensor(repeating: 0.5, shape: shape, device: device)
  }

  private func requireRefusal(
    _ message: String, line: UInt = #line, _ body: () throws -> Any
  ) {
    XCTAssertThrowsError(try body(), message, line: line) {
      XCTAssertTrue($0 is KernelsError && "\($0)".contains(message), "\($0), not \(message)", line: line)
    }
  }

  /// Every operand of every operation, one at a time, from another device: of the same kind, and of the other.
  func testOperandsOfAnotherDevice() throws {
    for device in try testDevices() {
      let others: [any Device] = try [CPUDevice()] + openCLDevices().map { try OpenCLDevice($0) }
      for other in others {
        let (x, w) = (try tensor([1, 2, 4, 4], device), try tensor([2, 2, 3, 3], device))
        let c = try tensor([2], device)
        func alien(_ shape: [Int]) throws -> Tensor { try tensor(shape, other) }
        let (ax, aw, ac) = (try alien([1, 2, 4, 4]), try alien([2, 2, 3, 3]), try alien([2]))
        requireRefusal("add: the tensors are on") { try x + ax }
        requireRefusal("conv2d: the tensors are on") { try x.convolved(with: aw) }
        requireRefusal("conv2d: the tensors are on") { try x.convolved(with: w, bias: ac) }
        requireRefusal("conv2d: the tensors are on") { try x.convolved(with: w, activation: .prelu(ac)) }
        requireRefusal("transposed conv2d: the tensors are on") { try x.transposeConvolved(with: aw) }
        requireRefusal("transposed conv2d: the tensors are on") { try x.transposeConvolved(with: w, bias: ac) }
        requireRefusal("prelu: the tensors are on") { try x.prelu(slope: ac) }
        for (gamma, beta) in [(ac, c), (c, ac)] {
          requireRefusal("the tensors are on") { try x.instanceNormalized(gamma: gamma, beta: beta) }
          requireRefusal("the tensors are on") { try x.batchNormalized(gamma: gamma, beta: beta) }
        }
        let (own, foreign) = (try tensor([1, 2], device), try alien([1, 2]))
        requireRefusal("instance norm: the tensors are on") { try x.instanceNormalized(gamma: foreign, beta: own) }
        requireRefusal("instance norm: the tensors are on") { try x.instanceNormalized(gamma: own, beta: foreign) }
        requireRefusal("instance norm: the tensors are on") {
          try x.instanceNormalized(gamma: c, beta: c, adding: ax)
        }
        requireRefusal("batch norm: the tensors are on") {
          try x.normalized(mean: ac, variance: c, gamma: c, beta: c)
        }
        requireRefusal("matrix multiply: the tensors are on") { try own.matrixMultiplied(by: alien([2, 1])) }
        requireRefusal("the tensors are on") { try own.linear(weight: tensor([3, 2], device), bias: alien([3])) }
        requireRefusal("concatenate: the tensors are on") { try Tensor.concatenated([x, ax], axis: 0) }
        requireRefusal("add spread: the tensors are on") { try x.adding(spread: alien([1, 2, 3, 3])) }
        requireRefusal("gradients: the tensors are on") {
          let leaf = x.requiringGradient()
          return try gradients(of: leaf.relu(), withRespectTo: [leaf], seed: ax)
        }
        let one = try tensor([1], other)
        requireRefusal("Adam: the tensors are on") {
          try Adam(learningRate: 1).step([("c", c, alien([2]))])
        }
        requireRefusal("Adam: the tensors are on") { try Adam(learningRate: 1).step([("c", c, c)], scale: one) }
        requireRefusal("Adam: the tensors are on") {
          let adam = Adam(learningRate: 1)
          adam.restore(stepCount: 1, state: ["c.m": ac, "c.v": c])
          return try adam.step([("c", c, c)])
        }
        for operands in [(ac, c, c), (c, ac, c), (c, c, ac)] {
          requireRefusal("sign step: the tensors are on") {
            try c.takeSignStep(
              gradient: operands.0, centre: operands.1, velocity: operands.2, stepSize: 1, momentum: 0, bound: 1)
          }
        }
        requireRefusal("sign step: the tensors are on") {
          try c.takeSignStep(gradient: c, scale: one, centre: c, velocity: c, stepSize: 1, momentum: 0, bound: 1)
        }
      }
    }
  }

  func testMomentsOfAnotherShape() throws {
    let device = CPUDevice()
    let c = try tensor([2], device)
    for state in [["c.m": try tensor([3], device)], ["c.v": try tensor([1], device)]] {
      let adam = Adam(learningRate: 1)
      adam.restore(stepCount: 1, state: state)
      requireRefusal("Adam: c is [2], its") { try adam.step([("c", c, c)]) }
    }
    requireRefusal("the scale is one number, not [2]") { try Adam(learningRate: 1).step([("c", c, c)], scale: c) }
    requireRefusal("the output is [2], its seed [3]") {
      let leaf = c.requiringGradient()
      return try gradients(of: leaf.relu(), withRespectTo: [leaf], seed: tensor([3], device))
    }
  }

  /// One list of calls, each refused by name.
  func testShapesThatCannotBe() throws {
    let huge = Int.max
    for device in try testDevices() {
      var random = RandomStream(seed: 1)
      for shape in [[0], [-1], [2, 0], [-2, -2], [Int.min]] {
        requireRefusal("holds nothing") { try Tensor(repeating: 1, shape: shape, device: device) }
        requireRefusal("holds nothing") { try random.normal(shape, device: device) }
      }
      requireRefusal("do not fill shape") { try Tensor([1], shape: [-1, -1], device: device) }
      requireRefusal("do not fill shape") { try Tensor([1], shape: [1 << 32, 1 << 32], device: device) }
      [Float](repeating: 0, count: 2).withUnsafeBytes { bytes in
        requireRefusal("do not fill shape") {
          try Tensor(bytes: UnsafeRawBufferPointer(rebasing: bytes[..<5]), shape: [1], device: device)
        }
        requireRefusal("do not fill shape") { try Tensor(bytes: bytes, shape: [1 << 62, 2], device: device) }
      }
      for shape in [[huge], [1 << 32, 1 << 32], [huge, huge]] {
        requireRefusal("has no room for that many more bytes") {
          try Tensor(repeating: 1, shape: shape, device: device)
        }
        requireRefusal("has no room for that many more bytes") { try random.uniform(shape, device: device) }
      }
      let x = try tensor([1, 2, 4, 4], device)
      let w = try tensor([2, 2, 3, 3], device)
      for value in [huge, -1, 1 << 62] {
        requireRefusal("conv2d") { try x.convolved(with: w, padding: value) }
        requireRefusal("conv2d") { try x.convolved(with: w, stride: value) }
        requireRefusal("conv2d") { try x.convolved(with: w, dilation: value) }
        requireRefusal("conv2d") { try x.convolved(with: w, groups: value) }
        requireRefusal("transposed conv2d") { try x.transposeConvolved(with: w, stride: value) }
        requireRefusal("transposed conv2d") { try x.transposeConvolved(with: w, padding: value) }
        requireRefusal("transposed conv2d") { try x.transposeConvolved(with: w, dilation: value) }
        requireRefusal("transposed conv2d") { try x.transposeConvolved(with: w, groups: value) }
        requireRefusal("transposed conv2d") { try x.transposeConvolved(with: w, outputPadding: value) }
        requireRefusal("max pool") { try x.maxPooled(size: value) }
        requireRefusal("max pool") { try x.maxPooled(size: 2, stride: value) }
        requireRefusal("average pool") { try x.averagePooled(size: 2, padding: value) }
        requireRefusal("resize") { try x.resized(height: value, width: 4) }
        requireRefusal("pad") { try x.padded(axis: 2, before: value, after: 0) }
        requireRefusal("reshape") { try x.reshaped([value, 15]) }
        requireRefusal("reshape") { try x.reshaped([-1, value, 15]) }
        requireRefusal("broadcast") { try tensor([1], device).broadcast(to: [value, 1]) }
        requireRefusal("slice") { try x.sliced(axis: value, 0..<1) }
        requireRefusal("sum") { try x.sum(axes: [value]) }
        requireRefusal("max") { try x.softmax(axis: value) }
        requireRefusal("gather") { try x.gatheringRows([value]) }
        requireRefusal("cross entropy") { try tensor([1, 2], device).crossEntropy(withClasses: [value]) }
      }
      requireRefusal("slice") { try x.sliced(axis: 2, 0..<huge) }
      requireRefusal("has no room for") { try x.padded(axis: 2, before: 1 << 30, after: 1 << 30) }
      requireRefusal("has no room for") { try x.resized(height: 1 << 30, width: 1 << 30) }
      requireRefusal("has no room for") { try tensor([1, 1], device).broadcast(to: [1 << 30, 1 << 30]) }
      requireRefusal("has no room for") {
        try tensor([1, 1, 2, 2], device).transposeConvolved(with: tensor([1, 1, 2, 2], device), stride: 1 << 30)
      }
      for rank in [1, 3, 5] {
        let y = try tensor([Int](repeating: 2, count: rank), device)
        let c = try tensor([2], device)
        requireRefusal("conv2d") { try y.convolved(with: w) }
        requireRefusal("max pool") { try y.maxPooled(size: 2) }
        requireRefusal("resize") { try y.resized(height: 2, width: 2) }
        requireRefusal("instance norm") { try y.instanceNormalized(gamma: c, beta: c) }
        requireRefusal("batch norm") { try y.batchNormalized(gamma: c, beta: c) }
        requireRefusal("matrix multiply") { try y.matrixMultiplied(by: y) }
        requireRefusal("add spread") { try y.adding(spread: y) }
      }
      XCTAssertEqual(random.integer(below: 0), 0)
      XCTAssertEqual(random.permutation(-3), [])
      // What was refused left nothing behind.
      XCTAssertEqual(try (x + x).values(), [Float](repeating: 1, count: 32))
    }
  }
}
