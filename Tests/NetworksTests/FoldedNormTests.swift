import Kernels
import Networks
import TestSupport
import XCTest

/// Batch norms that checkpoints still have apart.
final class FoldedNormTests: XCTestCase {
  private let device = CPUDevice()

  private func state(_ values: [String: [Float]]) throws -> StateDictionary {
    StateDictionary(
      try values.mapValues { try Tensor($0, shape: $0.count == 1 ? [1] : [2], device: device) }.merging(
        ["c.weight": try Tensor([1, -2], shape: [2, 1, 1, 1], device: device)]) { $1 }, origin: "the file")
  }

  private let norm: [String: [Float]] = [
    "n.weight": [2, 3], "n.bias": [0.5, -1], "n.running_mean": [1, 2], "n.running_var": [4, 9],
    "n.num_batches_tracked": [7],
  ]

  func testFolding() throws {
    // (x * w + b - mean) / sqrt(variance) * gain + shift
    for (bias, expected) in [(nil, [-0.5, -3]), ([1, 5], [0.5, 2])] as [([Float]?, [Float])] {
      let state = try state(norm.merging(bias.map { ["c.bias": $0] } ?? [:]) { $1 })
      let folded = try state.convolution("c", norm: "n", [nil, 1, 1, 1])
      XCTAssertLessThan(relativeError(try folded.weight.values(), [1, -2]), 1e-5)
      XCTAssertLessThan(relativeError(try folded.bias.values(), expected), 1e-5)
      XCTAssertEqual(folded.names, Set(state.tensors.keys))
    }
    // A convolution that has its norm in it, or never had one.
    for norm in ["n", nil] {
      let folded = try state(["c.bias": [3, 4]]).convolution("c", norm: norm, [2, 1, 1, 1])
      XCTAssertEqual(try folded.weight.values(), [1, -2])
      XCTAssertEqual(try folded.bias.values(), [3, 4])
      XCTAssertEqual(folded.names, ["c.weight", "c.bias"])
    }
  }

  func testWhatIsMissing() throws {
    for (values, expected) in [
      ([:], "no tensor named c.bias"), (["c.bias": [1]], "c.bias has the shape [1]"),
      (norm.filter { $0.key != "n.bias" }, "no tensor named n.bias"),
      (norm.merging(["n.running_var": [1]]) { $1 }, "n.running_var has the shape [1]"),
    ] as [([String: [Float]], String)] {
      XCTAssertThrowsError(try state(values).convolution("c", norm: "n", [2, 1, 1, 1])) {
        XCTAssertTrue("\($0)".hasPrefix("the file: ") && "\($0)".contains(expected), "\($0)")
      }
    }
    for name in [YuNet.name] + UltraLight.names {
      XCTAssertThrowsError(try loadDetector(name, weights: projectURL("models/mtcnn.safetensors"), on: device)) {
        XCTAssertTrue("\($0)".contains("mtcnn.safetensors: has no tensor named ba"), "\($0)")
      }
    }
  }
}
