import Foundation
import Kernels
import TestSupport
import XCTest

final class SafetensorsTests: XCTestCase {
  private let host = CPUDevice()

  private func entry(_ name: String, _ shape: String, _ offsets: String, type: String = "F32") -> String {
    #""\#(name)":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
  }

  private func requireRefusal(_ data: Data, _ message: String, line: UInt = #line) {
    XCTAssertThrowsError(try Safetensors(data, path: "bad").tensors(on: host), line: line) {
      XCTAssertTrue($0 is FileError && "\($0)".contains(message), "\($0)", line: line)
    }
  }

  func testHostileHeaders() throws {
    let data = [UInt8](repeating: 0, count: 16)
    for (header, message) in [
      (entry("a", "[9223372036854775807]", "[0,16]"), "a has the impossible shape"),
      (entry("a", "[4294967296,4294967296]", "[0,16]"), "a has the impossible shape"),
      (entry("a", "[4294967296,4294967296]", "[0,16]", type: "F8_E4M3"), "a has the impossible shape"),
      (entry("a", "[-4]", "[0,16]"), "a has the impossible shape"), (entry("a", "[2.5]", "[0,16]"), "a is malformed"),
      (entry("a", "[18446744073709551616]", "[0,16]"), "a is malformed"), (entry("a", "[4]", "[0]"), "a is malformed"),
      (entry("a", "[4]", "[16,0]"), "a lies beyond"), (entry("a", "[4]", "[-16,0]"), "a lies beyond"),
      (entry("a", "[4]", "[0,9223372036854775807]"), "a lies beyond"), (entry("a", "[3]", "[0,16]"), "a has 16 bytes"),
      (entry("a", "[4]", "[0,16]") + "," + entry("b", "[2]", "[8,16]"), "a and b overlap"),
    ] {
      requireRefusal(safetensorsFile(header: "{\(header)}", data: data), message)
    }
    requireRefusal(safetensorsFile(header: String(repeating: "[", count: 100_000)), "not a JSON object")
    requireRefusal(safetensorsFile(header: String(repeating: "{\"a\":", count: 100_000)), "not a JSON object")
    requireRefusal(Data([255, 255, 255, 255, 255, 255, 255, 255, 123]), "the header claims 18446744073709551615 bytes")
    requireRefusal(Data("<!DOCTYPE html><html></html>".utf8), "a web page")
    requireRefusal(Data("version https://git-lfs.github.com/spec/v1\n".utf8), "Git LFS")
  }

  /// A header of more than eight mebibytes is refused before it is parsed.
  func testLongHeader() {
    let many = (0..<200_000).map { entry("t\($0)", "[0]", "[0,0]") }.joined(separator: ",")
    XCTAssertGreaterThan(many.utf8.count, 8 << 20)
    requireRefusal(safetensorsFile(header: "{\(many)}"), "at most 8388608 are read")
  }

  func testEmptyAndOtherTypes() throws {
    let header =
      "{" + entry("none", "[0,9223372036854775807]", "[0,0]") + "," + entry("half", "[2]", "[0,4]", type: "F16") + ","
      + entry("brain", "[2]", "[4,8]", type: "BF16") + "," + entry("int", "[1]", "[8,16]", type: "I64") + "}"
    let file = try Safetensors(
      safetensorsFile(header: header, data: [0, 0x3e, 0, 0xc0, 0xc0, 0x3f, 0, 0xc0] + [UInt8](repeating: 1, count: 8)),
      path: "f")
    XCTAssertEqual(try file.tensors(on: host).keys.sorted(), ["brain", "half"])
    XCTAssertEqual(try file.values(of: "half"), [1.5, -2])
    XCTAssertEqual(try file.values(of: "brain"), [1.5, -2])
    XCTAssertThrowsError(try file.tensor("none", on: host)) {
      XCTAssertTrue("\($0)".contains("none is empty"), "\($0)")
    }
    XCTAssertThrowsError(try file.values(of: "int")) { XCTAssertTrue("\($0)".contains("int is of type I64"), "\($0)") }
    XCTAssertThrowsError(try file.values(of: "x")) { XCTAssertTrue("\($0)".contains("no tensor named x"), "\($0)") }
  }

  /// Whatever text a metadata value is, it comes back.
  func testMetadataRoundTrip() throws {
    let folder = try TemporaryFolder()
    let url = folder.url.appendingPathComponent("w.safetensors")
    let metadata = ["a": "\"\\\u{0}\u{1F600}/\n", "": "x", "__metadata__": "y"]
    try Safetensors.write(["w": Tensor([1, 2], shape: [2], device: host)], metadata: metadata, to: url)
    let file = try Safetensors(contentsOf: url)
    XCTAssertEqual(file.metadata, metadata)
    XCTAssertEqual(try file.tensor("w", on: host).values(), [1, 2])
  }
}
