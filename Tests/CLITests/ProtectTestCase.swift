import Foundation
import Pictures
import TestSupport
import XCTest

/// `tsdf protect` where no network is needed: the whole image, no refinement.
class ProtectTestCase: CommandTestCase {
  /// The arguments of such a run.
  func arguments(_ inputs: [String], output: String, extra: [String] = []) -> [String] {
    ["protect"] + inputs
      + [
        "--output", output, "--region", "image", "--refine", "0", "--perturbation",
        folder.path("perturbation.safetensors"),
      ] + extra
  }

  func protect(_ inputs: String..., output: String, extra: [String] = []) throws -> RunResult {
    try tsdf(arguments(inputs, output: output, extra: extra))
  }

  /// The same through a shell, which `$0` and `$@` give the tool and its arguments: for what only shells do.
  func shell(_ script: String, _ arguments: [String]) throws -> RunResult {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/bash")
    process.arguments = ["-c", script, executable.path] + arguments
    process.currentDirectoryURL = projectURL("")
    return try finish(process)
  }

  /// Writes pictures of different sizes, so that no two are alike.
  func writePictures(_ names: String..., firstWidth: Int = 40) throws {
    for (index, name) in names.enumerated() {
      let image = syntheticImage(width: firstWidth + index, height: 30)
      let isJPEG = name.hasSuffix("jpg")
      try folder.write(isJPEG ? jpegData(image) : encodePNG(image), name)
    }
  }

  /// The bytes of all files below a folder, but for what tsdf keeps for itself.
  func contents(_ name: String) throws -> [String: Data] {
    var found: [String: Data] = [:]
    for file in folder.files where file.hasPrefix(name + "/") && !file.contains("/.tsdf-") {
      let path = folder.path(file)
      var isDirectory: ObjCBool = false
      guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue else {
        continue
      }
      found[String(file.dropFirst(name.count + 1))] = try Data(contentsOf: URL(fileURLWithPath: path))
    }
    return found
  }

  func data(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: folder.path(name))) }

  /// A JPEG of an image, with an EXIF orientation if given.
  func jpegData(_ image: Image, orientation: Int? = nil) throws -> Data {
    var png = try encodePNG(image)
    if let orientation {
      // A PNG with an eXIf chunk, recoded: its EXIF data goes along.
      let tiff: [UInt8] = [
        0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, UInt8(orientation), 0, 0, 0, 0, 0, 0,
      ]
      png = insertingEXIF(tiff, into: png)
    }
    return try ImageFile(png, path: "a.png").encoded(as: .jpeg)
  }

  private func insertingEXIF(_ tiff: [UInt8], into png: Data) -> Data {
    let body = Array("eXIf".utf8) + tiff
    var sum = UInt32.max
    for byte in body {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 1 ? 0xEDB8_8320 ^ (sum >> 1) : sum >> 1 }
    }
    func bigEndian(_ v: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: v >> $0) } }
    return png.prefix(33) + Data(bigEndian(UInt32(tiff.count)) + body + bigEndian(~sum)) + png.dropFirst(33)
  }
}
