import Foundation
import Kernels
import Networks
import TestSupport
import XCTest

/// Checkpoints written by PyTorch (tools/make-checkpoint-goldens.py).
final class TorchCheckpointTests: XCTestCase {
  private func url(_ name: String) -> URL { projectURL("Tests/Goldens/checkpoints/\(name).pth") }

  func testBothFormats() throws {
    let w = (0..<24).map { Float($0) / 8 }
    for name in ["zip", "legacy"] {
      let tensors = try TorchCheckpoint(contentsOf: url(name)).tensors(under: "G", on: CPUDevice())
      XCTAssertEqual(tensors.keys.sorted(), ["a.weight", "b", "d", "h"], name)
      XCTAssertEqual(tensors["a.weight"]?.shape, [6, 4])
      XCTAssertEqual(try tensors["a.weight"]?.values(), (0..<24).map { w[$0 % 4 * 6 + $0 / 4] })
      XCTAssertEqual(try tensors["b"]?.values(), Array(w[6..<18]))
      XCTAssertEqual(try tensors["h"]?.values(), w)
      XCTAssertEqual(try tensors["d"]?.values(), w)
      let all = try TorchCheckpoint(contentsOf: url(name)).tensors(on: CPUDevice())
      XCTAssertEqual(try all["G.b"]?.values(), Array(w[6..<18]))
      XCTAssertThrowsError(try TorchCheckpoint(contentsOf: url(name)).tensors(under: "D", on: CPUDevice())) {
        XCTAssertTrue("\($0)".contains("no tensor under the key D"), "\($0)")
      }
    }
  }

  func testCodeIsRefusedByName() {
    XCTAssertThrowsError(try TorchCheckpoint(contentsOf: url("code"))) {
      XCTAssertTrue("\($0)".contains("asks for posix.system, which is code: refused"), "\($0)")
    }
  }

  /// Cut anywhere, a file is refused with an error, never read past its end.
  func testTruncation() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tsdf-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    for name in ["zip", "legacy"] {
      let whole = try Data(contentsOf: url(name))
      for length in stride(from: 0, to: whole.count - 1, by: 7) {
        let cut = folder.appendingPathComponent("cut.pth")
        try whole.prefix(length).write(to: cut)
        XCTAssertThrowsError(try TorchCheckpoint(contentsOf: cut).tensors(on: CPUDevice()), "\(name) cut to \(length)")
      }
    }
  }

  /// Places in the directory beyond any file, which arithmetic must survive.
  func testImpossibleZipDirectory() throws {
    let good = [UInt8](try Data(contentsOf: projectURL("Tests/Goldens/checkpoints/zip.pth")))
    let end = try XCTUnwrap((0..<good.count - 4).last { Array(good[$0..<$0 + 4]) == [0x50, 0x4b, 5, 6] })
    for record: [UInt8] in [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], [0, 0, 0, 0, 0, 0, 0, 0x80]] {
      var bytes = good
      bytes.replaceSubrange(end + 16..<end + 20, with: [0xff, 0xff, 0xff, 0xff])
      bytes.replaceSubrange(end - 12..<end - 4, with: record)
      XCTAssertThrowsError(try TorchCheckpoint(Data(bytes), path: "bad.pth")) {
        XCTAssertTrue("\($0)".contains("bad.pth: has a damaged zip directory"), "\($0)")
      }
    }
  }
}
