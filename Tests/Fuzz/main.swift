// One reader under libFuzzer: whatever the bytes, it returns or throws a FileError. Built and run by tools/fuzz.

import CFuzzer
import Foundation

guard reader != nil else {
  print("TSDF_FUZZ must be one of \(readers.keys.sorted().joined(separator: ", ")); see tools/fuzz")
  exit(64)
}

var argumentCount = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
  LLVMFuzzerRunDriver(&argumentCount, &arguments) { bytes, count in
    let data = bytes.map { Data(bytes: $0, count: count) } ?? Data()
    expectingFileErrors { try reader?(data) }
    return 0
  })
