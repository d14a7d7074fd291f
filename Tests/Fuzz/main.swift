// One reader under libFuzzer: whatever the bytes, it returns or throws a FileError. Built and run by tools/fuzz;
// `--seeds FOLDER` writes the first inputs of readers of pictures.

import CFuzzer
import Foundation

guard reader != nil else {
  print("TSDF_FUZZ must be one of \(readers.keys.sorted().joined(separator: ", ")); see tools/fuzz")
  exit(64)
}

if CommandLine.arguments.count == 3, CommandLine.arguments[1] == "--seeds" {
  try writeSeeds(ProcessInfo.processInfo.environment["TSDF_FUZZ"]!, to: URL(fileURLWithPath: CommandLine.arguments[2]))
  exit(0)
}

var argumentCount = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
  LLVMFuzzerRunDriver(&argumentCount, &arguments) { bytes, count in
    let data = bytes.map { Data(bytes: $0, count: count) } ?? Data()
    expectingFileErrors { try reader?(data) }
    return 0
  })
