import Foundation
import Kernels
import TestSupport
import XCTest

/// What the tuner finds is right, is stored, and is used the next time.
final class TuningTests: FolderTestCase {
  func testStoredParametersAreUsedUnlessDamaged() throws {
    for info in try openCLDevices() {
      let builtIn = try OpenCLDevice(info, parameters: nil, folder: folder).parameters
      let store = TuningStore(device: info, isProcessor: builtIn.tileItems == 0, folder: folder)
      XCTAssertNil(store.load())
      var other = builtIn
      other.vectorLanes = 24 - builtIn.vectorLanes
      other.tiledGroups += 1
      let file = try XCTUnwrap(store.store(other))
      XCTAssertEqual(store.load(), other)
      XCTAssertEqual(try OpenCLDevice(info, parameters: nil, folder: folder).parameters, other)
      XCTAssertEqual(try OpenCLDevice(info, parameters: builtIn, folder: folder).parameters, builtIn)
      XCTAssertNil(TuningStore(device: info, isProcessor: builtIn.tileItems != 0, folder: folder).load())

      let whole = try Data(contentsOf: file)
      for damaged in [Data(), whole.dropLast(), Data("{}".utf8)] {
        try Data(damaged).write(to: file)
        XCTAssertNil(store.load())
        XCTAssertEqual(try OpenCLDevice(info, parameters: nil, folder: folder).parameters, builtIn)
      }
      XCTAssertNil(try TuningStore(device: info, isProcessor: true, folder: nil).store(other))
    }
  }

  func testTuner() throws {
    for info in try openCLDevices() {
      let device = try OpenCLDevice(info, parameters: nil, folder: folder)
      var tuner = KernelTuner(device, shapes: [([1, 16, 12, 12], [16, 16, 3, 3], 1, 1)])
      var findings: [KernelTuner.Finding] = []
      let file = try XCTUnwrap(tuner.run(keptIn: folder) { findings.append($0) })
      XCTAssertEqual(file.deletingLastPathComponent().path, folder.path)
      XCTAssertEqual(findings.filter { $0.choice.hasPrefix("conv [1, 16, 12, 12] * [16, 16, 3, 3]: ") }.count, 1)
      for name in ["elements a work-item", "tiles a work-item", "floats in flight"] {
        XCTAssertEqual(findings.filter { $0.choice.hasPrefix(name + ": ") }.count, 1, name)
      }
      for finding in findings {
        XCTAssertGreaterThan(finding.seconds, 0, finding.choice)
        XCTAssertLessThanOrEqual(finding.seconds, finding.before, finding.choice)
      }
      let tuned = try OpenCLDevice(info, parameters: nil, folder: folder)
      XCTAssertEqual(
        tuned.parameters, TuningStore(device: info, isProcessor: tuned.parameters.tileItems == 0, folder: folder).load()
      )
      func convolved(on device: any Device) throws -> [Float] {
        var random = RandomStream(seed: 3)
        let x = try random.uniform([1, 16, 12, 12], in: -1..<1, device: device)
        return try x.convolved(with: random.uniform([16, 16, 3, 3], in: -1..<1, device: device), padding: 1).values()
      }
      XCTAssertLessThan(relativeError(try convolved(on: tuned), try convolved(on: CPUDevice())), 1e-5)
    }
  }
}
