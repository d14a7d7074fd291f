import Foundation
import Pictures
import TestSupport
import XCTest

/// `tsdf protect` as a person runs it: good files, broken ones, interruptions.
final class ProtectTests: ProtectTestCase {
  func testBrokenFilesAreNamedAndTheOthersDone() throws {
    let good = try encodePNG(syntheticImage())
    let jpeg = try jpegData(syntheticImage())
    try folder.write(good, "in/good.png")
    try folder.write(jpeg, "in/deep/good.jpg")
    try folder.write(try encodePNG(syntheticImage(width: 1, height: 1)), "in/one-pixel.png")
    try folder.write(good.prefix(good.count / 2), "in/truncated.png")
    try folder.write(jpeg.prefix(jpeg.count / 2), "in/truncated.jpg")
    var damaged = good
    for i in 60..<90 { damaged[i] ^= 0x5a }
    try folder.write(damaged, "in/damaged.png")
    try folder.write(Data("this is no picture\n".utf8), "in/text.png")
    try folder.write(Data(), "in/empty.jpg")
    try folder.write(hugeHeader(), "in/huge.png")

    let result = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertEqual(result.status, 1, result.errors)
    for name in ["truncated.png", "truncated.jpg", "damaged.png", "text.png", "empty.jpg", "huge.png"] {
      XCTAssertTrue(result.errors.contains(name), "\(name) is not named in: \(result.errors)")
    }
    XCTAssertTrue(result.errors.contains("text.png: is of no type that is read"), result.errors)
    XCTAssertTrue(result.errors.contains("empty.jpg: is empty"), result.errors)
    let made = folder.files.filter { $0.hasPrefix("out/") && !$0.hasSuffix(".jsonl") && $0 != "out/deep" }
    XCTAssertEqual(made, ["out/deep/good.jpg", "out/good.png", "out/one-pixel.png", "out/truncated.jpg"])
    XCTAssertTrue(result.output.hasPrefix("4 protected, 0 done before, 5 failed"), result.output)
    XCTAssertEqual(try Data(contentsOf: URL(fileURLWithPath: folder.path("in/good.png"))), good, "an original changed")
  }

  func testPNGStaysWithinTheBudgetInEveryStorage() throws {
    for (channels, depth) in [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (3, 16), (4, 16)] {
      let image = syntheticImage(channels: channels, bitDepth: depth)
      let name = "\(channels)-\(depth).png"
      try folder.write(try encodePNG(image), "in/\(name)")
      let result = try protect(folder.path("in/\(name)"), output: folder.path("out"))
      XCTAssertEqual(result.status, 0, result.errors)
      let copy = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("out/\(name)"))).image
      XCTAssertEqual([copy.width, copy.height, copy.channels, copy.bitDepth], [96, 80, channels, depth])
      let change = copy.largestDifference(from: image)
      XCTAssertGreaterThan(change, 0.02, name)
      XCTAssertLessThanOrEqual(change, 0.05, name)
    }
  }

  func testSecondRunDoesOnlyWhatIsMissing() throws {
    for i in 0..<3 { try folder.write(try encodePNG(syntheticImage(width: 64 + i)), "in/\(i).png") }
    XCTAssertEqual(try protect(folder.path("in"), output: folder.path("out")).status, 0)
    try FileManager.default.removeItem(atPath: folder.path("out/1.png"))
    let again = try protect(folder.path("in"), output: folder.path("out"))
    XCTAssertTrue(again.output.hasPrefix("1 protected, 2 done before, 0 failed"), again.output)
    let other = try protect(folder.path("in"), output: folder.path("out"), extra: ["--epsilon", "0.03"])
    XCTAssertTrue(other.output.hasPrefix("3 protected, 0 done before, 0 failed"), other.output)
  }

  /// Photos are shared out over devices; which one had a photo does not show.
  func testSeveralDevices() throws {
    try writePictures("in/a.png", "in/b.png", "in/c.jpg", "in/d.jpg", "in/e.png")
    func copies(_ devices: String, _ output: String) throws -> [String: Data] {
      let result = try protect(folder.path("in"), output: folder.path(output), extra: ["--device", devices])
      XCTAssertTrue(result.output.hasPrefix("5 protected, 0 done before, 0 failed"), result.errors)
      return try contents(output)
    }
    XCTAssertEqual(try copies("cpu,cpu,cpu", "several"), try copies("cpu", "one"))
    XCTAssertEqual(try copies("all", "all").count, 5)
    let unknown = try protect(folder.path("in"), output: folder.path("none"), extra: ["--device", "cpu,nobody's"])
    XCTAssertEqual(unknown.status, 69, unknown.errors)
    XCTAssertTrue(unknown.errors.contains("no device matches 'nobody's'"), unknown.errors)
    let one = try tsdf("detect", folder.path("in/a.png"), "--device", "cpu,cpu")
    XCTAssertEqual(one.status, 64, one.errors)
    XCTAssertTrue(one.errors.contains("this command works on one"), one.errors)
  }

  func testWhatRefinementLooksThroughIsChecked() throws {
    try folder.write(try encodePNG(syntheticImage()), "in/a.png")
    for (option, value, message) in [
      ("--through", "sharpen:1", "no purifier sharpen"), ("--through", "blur:1,average:3", "cannot be crafted through"),
      ("--through", "component:3", "cannot be crafted through"), ("--start", "sideways", "'random' and 'universal'"),
    ] {
      let result = try protect(folder.path("in"), output: folder.path("out"), extra: [option, value])
      XCTAssertEqual(result.status, 64, "\(option) \(value)")
      XCTAssertTrue(result.errors.contains(message), result.errors)
    }
  }

  func testFullDiskLeavesNothingHalfWritten() throws {
    // A small file-size limit fails writes as a full disk does, without privileges.
    try folder.write(try encodePNG(syntheticImage(width: 400, height: 400)), "in/large.png")
    try folder.write(try encodePNG(syntheticImage(width: 16, height: 16)), "in/small.png")
    let shell = Process()
    shell.executableURL = URL(fileURLWithPath: "/bin/bash")
    shell.arguments = [
      "-c",
      "ulimit -f 40; exec \"$0\" protect \"$1\" --output \"$2\" --region image --refine 0 --perturbation \"$3\" --device cpu",
      executable.path, folder.path("in"), folder.path("out"), folder.path("perturbation.safetensors"),
    ]
    let err = Pipe()
    shell.standardError = err
    shell.standardOutput = Pipe()
    try shell.run()
    let errors = String(decoding: err.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    shell.waitUntilExit()
    XCTAssertEqual(shell.terminationStatus, 1, errors)
    XCTAssertTrue(errors.contains("large.png: cannot be written"), errors)
    let made = folder.files.filter { $0.hasPrefix("out/") && !$0.hasSuffix(".jsonl") }
    XCTAssertEqual(made, ["out/small.png"])
  }

  func testOrientationsComeOutAsTheyWere() throws {
    let upright = syntheticImage(width: 40, height: 24)
    for orientation in 1...8 {
      let stored = upright.stored(as: orientation)
      XCTAssertEqual(stored.upright(from: orientation).bytes, upright.bytes, "orientation \(orientation)")
      let name = "o\(orientation).jpg"
      try folder.write(try jpegData(stored, orientation: orientation), "in/\(name)")
      XCTAssertEqual(try protect(folder.path("in/\(name)"), output: folder.path("out")).status, 0)
      let copy = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("out/\(name)")))
      XCTAssertEqual(copy.orientation, orientation)
      XCTAssertEqual([copy.image.width, copy.image.height], [stored.width, stored.height])
    }
  }

  func testFormatCanBeChanged() throws {
    try folder.write(try jpegData(syntheticImage(), orientation: 6), "in/a.jpg")
    XCTAssertEqual(
      try protect(folder.path("in/a.jpg"), output: folder.path("out"), extra: ["--format", "png"]).status, 0)
    let copy = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("out/a.png")))
    XCTAssertEqual(copy.type, .png)
    XCTAssertEqual(copy.orientation, 6, "the EXIF data went along")
  }

  func testRefinementAndFaces() throws {
    let result = try tsdf(
      "protect", "photos/astronaut.png", "photos/coffee.png", "--output", folder.path("out"), "--refine", "2",
      "--perturbation", folder.path("perturbation.safetensors"), "--generators", folder.path("generator.safetensors"),
      "--json")
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertTrue(result.errors.contains("coffee.png: no face found"), result.errors)
    let summary = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
    XCTAssertEqual(summary?["faces"] as? Int, 1)
    XCTAssertEqual(summary?["withoutFace"] as? Int, 1)
    // Two steps are too few, and said to be.
    XCTAssertEqual(summary?["stillFound"] as? Int, 1)
    XCTAssertTrue(result.errors.contains("astronaut.png: 1 of 1 faces are still found"), result.errors)
    let original = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let copy = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("out/astronaut.png"))).image
    XCTAssertLessThanOrEqual(copy.largestDifference(from: original), 0.05)
    // Away from the face nothing changes.
    XCTAssertEqual(
      copy.cropped(x: 0, y: 400, width: 512, height: 100).bytes,
      original.cropped(x: 0, y: 400, width: 512, height: 100).bytes)
  }

  /// Protection is made through a denoiser of its own, not the attackers'.
  func testTheDenoiserOfProtection() throws {
    try folder.write(encodePNG(syntheticImage(width: 64, height: 64)), "in/a.png")
    func done(_ denoiser: String) throws -> String {
      let result = try tsdf(
        "protect", folder.path("in"), "--output", folder.path("out"), "--region", "image", "--refine", "1",
        "--detectors", "none", "--generators", folder.path("generator.safetensors"), "--through", denoiser)
      return String(result.output.prefix { $0 != "\n" }) + result.errors.suffix(result.status == 0 ? 0 : 300)
    }
    XCTAssertEqual(try done("denoise"), "1 protected, 0 done before, 0 failed")
    XCTAssertEqual(
      try done("denoise:weights/adversarial-denoiser.safetensors"), "0 protected, 1 done before, 0 failed")
    XCTAssertEqual(try done("denoise:weights/denoiser.safetensors"), "1 protected, 0 done before, 0 failed")
  }

  // MARK: Files

  /// A PNG whose header promises 20,000 x 20,000 pixels that are not there.
  private func hugeHeader() throws -> Data {
    var png = try encodePNG(syntheticImage(width: 8, height: 8))
    for (offset, byte) in [(16, 0), (17, 0), (18, 0x4e), (19, 0x20), (20, 0), (21, 0), (22, 0x4e), (23, 0x20)] {
      png[offset] = UInt8(byte)
    }
    var sum = UInt32.max
    for byte in png[12..<29] {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 1 ? 0xEDB8_8320 ^ (sum >> 1) : sum >> 1 }
    }
    for (i, shift) in [24, 16, 8, 0].enumerated() { png[29 + i] = UInt8(truncatingIfNeeded: ~sum >> shift) }
    return png
  }
}
