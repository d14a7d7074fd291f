import Foundation
import Kernels
import Networks
import TSDF
import TestSupport
import XCTest

/// One training step of each model against PyTorch's float64: losses, gradients of both networks, the critic after Adam's step.
final class TrainingGoldenTests: XCTestCase {
  func testSteps() throws {
    let golden = try Safetensors(contentsOf: goldenURL("training"))
    func checkpoint(_ name: String) -> URL { projectURL("Tests/Goldens/checkpoints/training-\(name).pth") }
    for device in try testDevices() {
      for model in generatorNames {
        // Authors either keep both networks in one file, or each in its own.
        let critic = checkpoint("\(model)-critic")
        let files = TrainingStart.Files(
          generator: checkpoint(model),
          critic: FileManager.default.fileExists(atPath: critic.path) ? critic : checkpoint(model))
        let start = try TrainingStart(files, named: model, on: device)
        let results = try examineTrainingStep(
          of: start, input: { try golden.tensor("\(model)/\($0)", on: device) }, tag: 1, on: device)
        let inputs = ["x_real", "c_org", "c_trg", "alpha", "noise", "others", "from", "to"]
        let expected = Set(
          golden.names.filter { $0.hasPrefix("\(model)/") }.map { String($0.dropFirst(model.count + 1)) }
        )
        .subtracting(inputs)
        XCTAssertEqual(Set(results.keys), expected, model)
        for (name, value) in results {
          XCTAssertEqual(value.shape, golden.shape(of: "\(model)/\(name)"), "\(model) \(name)")
          let (found, wanted) = (try value.values(), try golden.values(of: "\(model)/\(name)"))
          // A bias before a norm has no gradient but for rounding.
          let error =
            wanted.allSatisfy { abs($0) < 1e-12 } ? Double(found.map(abs).max()!) : relativeError(found, wanted)
          XCTAssertTrue(error < 1e-3, "\(model) \(name) on \(device.name): \(error)")
        }
      }
    }
  }
}
