// One reader under libFuzzer: whatever the bytes, it returns or throws a FileError. Built and run by tools/fuzz.

import CFuzzer
import Foundation
import Kernels
import Networks
import Pictures

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

/// Images are decoded and written again, in both types; checkpoints and tensors are read to the last value.
private let readers: [String: (Data) throws -> Void] = [
  "image": { data in
    let file = try ImageFile(data, path: "fuzz")
    for type in ImageType.allCases { _ = try file.encoded(as: type) }
  },
  "safetensors": { _ = try Safetensors($0, path: "fuzz").tensors(on: host) },
  "checkpoint": { _ = try TorchCheckpoint($0, path: "fuzz").tensors(on: host) },
]

private let name = ProcessInfo.processInfo.environment["TSDF_FUZZ"] ?? ""
private let found = readers[name]
guard found != nil else {
  print("TSDF_FUZZ must be one of \(readers.keys.sorted().joined(separator: ", ")); see tools/fuzz")
  exit(64)
}
private let reader = found!

var argumentCount = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
  LLVMFuzzerRunDriver(&argumentCount, &arguments) { bytes, count in
    let data = bytes.map { Data(bytes: $0, count: count) } ?? Data()
    expectingFileErrors { try reader(data) }
    return 0
  })
