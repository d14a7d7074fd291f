import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport

/// What reads the bytes of a kind of file to the last value.
typealias Reader = @Sendable (Data) throws -> Void

/// Pictures are decoded and written again, their metadata alone in a small JPEG file, and into each type that has its own form of
/// them. `pickle` and `header` are put into a whole file, so that what they say is reached whatever a mutation does to them.
let readers: [String: Reader] = [
  "jpeg": readPicture, "png": readPicture, "webp": readPicture, "tiff": readPicture, "heic": readPicture,
  "avif": readPicture, "gif": readPicture, "bmp": readPicture,
  "exif": { try readMetadata(0xe1, "Exif\0\0", $0) },
  "xmp": { try readMetadata(0xe1, "http://ns.adobe.com/xap/1.0/\0", $0) },
  "iptc": { try readMetadata(0xed, "Photoshop 3.0\0", $0) },
  "safetensors": readSafetensors,
  "header": { try readSafetensors(safetensorsFile(header: [UInt8]($0), data: [UInt8](repeating: 1, count: 16))) },
  "checkpoint": readCheckpoint,
  "pickle": { data in
    let storage = [UInt8](repeating: 1, count: 64)
    try readCheckpoint(storedZip([("a/data.pkl", [UInt8](data)), ("a/data/0", storage), ("a/data/1", storage)]))
  },
  "recipe": { _ = try CraftRecipe(json: $0, from: URL(fileURLWithPath: "fuzz"), isStrict: true) },
  "cascade": readCascade,
  "list": { _ = try AttributeList($0, path: "fuzz") },
]

/// The reader that TSDF_FUZZ names.
let reader = readers[ProcessInfo.processInfo.environment["TSDF_FUZZ"] ?? ""]

@Sendable private func readPicture(_ data: Data) throws {
  // Small ones, so that many are tried.
  ImageFile.largestPixelCount = 1 << 18
  let file = try ImageFile(data, path: "fuzz")
  for type in [ImageType.png, .jpeg] { _ = try file.encoded(as: type) }
}

private let smallPicture = try! ImageFile(
  encodePNG(Image(width: 4, height: 4, channels: 3, bytes: [UInt8](repeating: 90, count: 48))), path: "small"
).encoded(as: .jpeg)

@Sendable private func readMetadata(_ marker: UInt8, _ mark: String, _ data: Data) throws {
  let file = try ImageFile(
    inserting(segment: marker, Array(mark.utf8) + data.prefix(65000), into: smallPicture), path: "fuzz")
  for type in [ImageType.jpeg, .png, .tiff, .webp] { _ = try file.encoded(as: type) }
}

@Sendable private func readCheckpoint(_ data: Data) throws {
  _ = try TorchCheckpoint(data, path: "fuzz").tensors(on: CPUDevice())
}

@Sendable private func readCascade(_ data: Data) throws {
  let haar = try Haar(data, path: "fuzz")
  var random = RandomStream(seed: 1)
  _ = try haar.detect(random.uniform([1, 3, 40, 50], in: -1..<1, device: CPUDevice()), threshold: 0.5)
}

@Sendable private func readSafetensors(_ data: Data) throws {
  _ = try Safetensors(data, path: "fuzz").tensors(on: CPUDevice())
}

/// Anything but a FileError (or what the tensor layer says of shapes) is a defect.
func expectingFileErrors(_ body: () throws -> Void) {
  do {
    try body()
  } catch is FileError {
  } catch KernelsError.shape {
  } catch {
    fatalError("\(error)")
  }
}
