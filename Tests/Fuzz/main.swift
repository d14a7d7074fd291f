// One reader under libFuzzer: whatever the bytes, it returns or throws a FileError. Built and run by tools/fuzz.

import CFuzzer
import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport

private let host = CPUDevice()

/// Anything but a FileError (or what the tensor layer says of shapes) is a defect.
private func expectingFileErrors(_ body: () throws -> Void) {
  do {
    try body()
  } catch is FileError {
  } catch KernelsError.shape {
  } catch {
    fatalError("\(error)")
  }
}

/// Reads the bytes of a checkpoint to the last value.
private func readCheckpoint(_ data: Data) throws {
  _ = try TorchCheckpoint(data, path: "fuzz").tensors(on: host)
}

private func readSafetensors(_ data: Data) throws { _ = try Safetensors(data, path: "fuzz").tensors(on: host) }

/// Images are decoded and written again, in both types; checkpoints and tensors are read to the last value. `pickle` and
/// `header` are put into a whole file, so that what they say is reached whatever a mutation does to them.
private let readers: [String: (Data) throws -> Void] = [
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

private let name = ProcessInfo.processInfo.environment["TSDF_FUZZ"] ?? ""
private let found = readers[name]
guard found != nil else {
  print("TSDF_FUZZ must be one of \(readers.keys.sorted().joined(separator: ", ")); see tools/fuzz")
  exit(64)
}
nonisolated(unsafe) private let reader = found!

var argumentCount = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
  LLVMFuzzerRunDriver(&argumentCount, &arguments) { bytes, count in
    let data = bytes.map { Data(bytes: $0, count: count) } ?? Data()
    expectingFileErrors { try reader(data) }
    return 0
  })
