import Foundation
import Kernels
import TSDF
import TestSupport
import XCTest

/// Whole networks against PyTorch's float64: outputs and input gradients, on every device present.
final class ModelGoldenTests: XCTestCase {
  private func image(_ shape: Shape, seed: UInt64, on device: any Device) throws -> Tensor {
    var random = RandomStream(seed: seed)
    return try random.uniform(shape, in: -1..<1, device: device).requiringGradient()
  }

  /// Compares outputs (at the golden's stride) and the gradient of mean(first^2) with respect to x.
  private func check(
    _ name: String, _ golden: Safetensors, x: Tensor, outputs: [(name: String, value: Tensor)],
    gradientTolerance: Double = 1e-2
  ) throws {
    func compare(_ part: String, _ found: Tensor, _ tolerance: Double) throws {
      let expected = try golden.values(of: "\(name)/\(part)")
      let all = try found.values()
      let stride = (all.count + expected.count - 1) / expected.count
      let sampled = Swift.stride(from: 0, to: all.count, by: stride).map { all[$0] }
      let error = relativeError(sampled, expected)
      XCTAssertTrue(error < tolerance, "\(name)/\(part) on \(x.device.name): relative error \(error)")
    }
    for (part, value) in outputs { try compare(part, value, 1e-3) }
    let gradient = try gradients(of: outputs[0].value.squared().mean(), withRespectTo: [x])[0]
    try compare("x.grad", gradient, gradientTolerance)
  }

  func testStarGAN() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    for device in try testDevices() {
      for (name, size, width, blocks, batch) in [("stargan-256", 256, 64, 6, 1), ("stargan-small", 36, 8, 2, 3)] {
        let generator = try StarGANGenerator(
          .init(width: width, attributeCount: 5, blocks: blocks), attributes: ["a", "b", "c", "d", "e"],
          imageSize: size,
          seed: 11, device: device)
        let x = try image([batch, 3, size, size], seed: 7, on: device)
        let c = try Tensor((0..<batch).flatMap { _ in [1, 0, 1, 0, 0] as [Float] }, shape: [batch, 5], device: device)
        let made = try generator(x, condition: c)
        try check(name, golden, x: x, outputs: [("y", made.image), ("feature", made.feature)])
      }
    }
  }

  func testDetectors() throws {
    let golden = try Safetensors(contentsOf: goldenURL("models"))
    let models = projectURL("models")
    for device in try testDevices() {
      let retinaface = try loadDetector("retinaface", from: models, on: device)
      let x = try image([1, 3, 97, 131], seed: 21, on: device)
      let heads = try retinaface.heads(x)
      try check(
        "retinaface", golden, x: x,
        outputs: [
          ("conf", heads.confidence), ("loc", heads.location), ("feature1", heads.features[0]),
          ("feature2", heads.features[1]), ("feature3", heads.features[2]),
        ])
      XCTAssertEqual(retinaface.priorBoxes(height: 97, width: 131).count, heads.confidence.shape[1])

      let mtcnn = try loadDetector("mtcnn", from: models, on: device) as! MTCNN
      for (net, shape) in [("pnet", [2, 3, 37, 52]), ("rnet", [3, 3, 24, 24]), ("onet", [2, 3, 48, 48])] {
        let x = try image(shape, seed: 31, on: device)
        let made = try mtcnn.forward(net, x)
        try check("mtcnn-\(net)", golden, x: x, outputs: [("conf", made.logits), ("loc", made.offsets)])
      }
    }
  }

  func testPriorsMatchHeads() throws {
    let device = try selectDevice().device
    for name in detectorNames {
      let detector = try loadDetector(name, from: projectURL("models"), on: device)
      for (height, width) in [(64, 64), (97, 131), (200, 60)] {
        let x = try Tensor(repeating: 0, shape: [1, 3, height, width], device: device)
        let heads = try detector.heads(x)
        XCTAssertEqual(
          heads.confidence.shape[1], detector.priorBoxes(height: height, width: width).count,
          "\(name) at \(height)x\(width)")
        XCTAssertEqual(
          try detector.decodedBoxes(heads.location, height: height, width: width).shape, heads.location.shape)
      }
    }
  }
}
