import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport

/// What reads the bytes of a kind of file to the last value.
typealias Reader = @Sendable (Data) throws -> Void

/// Images are decoded and written again, in both types. `pickle` and `header` are put into a whole file, so that what they say
/// is reached whatever a mutation does to them.
let readers: [String: Reader] = [
  "image": { data in
    let file = try ImageFile(data, path: "fuzz")
    for type in ImageType.allCases { _ = try file.encoded(as: type) }
  },
  "safetensors": readSafetensors,
  "header": { try readSafetensors(safetensorsFile(header: [UInt8]($0), data: [UInt8](repeating: 1, count: 16))) },
  "checkpoint": readCheckpoint,
  "pickle": { data in
    let storage = [UInt8](repeating: 1, count: 64)
    try readCheckpoint(storedZip([("a/data.pkl", [UInt8](data)), ("a/data/0", storage), ("a/data/1", storage)]))
  },
  "recipe": { _ = try CraftRecipe(json: $0, from: URL(fileURLWithPath: "fuzz"), isStrict: true) },
  "list": { _ = try AttributeList($0, path: "fuzz") },
]

/// The reader that TSDF_FUZZ names.
let reader = readers[ProcessInfo.processInfo.environment["TSDF_FUZZ"] ?? ""]

@Sendable private func readCheckpoint(_ data: Data) throws {
  _ = try TorchCheckpoint(data, path: "fuzz").tensors(on: CPUDevice())
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
