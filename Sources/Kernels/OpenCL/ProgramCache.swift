import COpenCL
import Foundation

/// Where what is worth keeping between runs lies: `TSDF_CACHE` (empty: nothing is kept), else `XDG_CACHE_HOME/tsdf`, else
/// `~/.cache/tsdf`.
package func cacheDirectory() -> URL? {
  let environment = ProcessInfo.processInfo.environment
  if let path = environment["TSDF_CACHE"] { return path.isEmpty ? nil : URL(fileURLWithPath: path) }
  if let path = environment["XDG_CACHE_HOME"], !path.isEmpty {
    return URL(fileURLWithPath: path).appendingPathComponent("tsdf")
  }
  return FileManager.default.homeDirectoryForCurrentUser.appendingPathComponent(".cache/tsdf")
}

/// Compiled programs on disk, for drivers that keep no cache of their own. A file is named by the SHA-256 of
/// all that its contents depend on and starts with the SHA-256 of the rest; whatever does not check is rebuilt.
package struct ProgramCache {
  /// Where files lie, or nil to keep none.
  let directory: URL?

  package init(directory: URL?) { self.directory = directory }

  init(device: OpenCLDeviceInfo, directory: URL?) {
    // PoCL caches by itself, and asking it for a binary compiles every kernel at once.
    self.directory = device.isPoCL ? nil : directory
  }

  /// The file for a program built from `source` with `options` on `device`.
  func file(source: String, options: String, device: OpenCLDeviceInfo) -> URL? {
    directory?.appendingPathComponent(device.digest(source, options) + ".clbin")
  }

  /// The program binary in `file`, or nil when there is none or it is damaged.
  package func load(_ file: URL) -> Data? {
    guard let contents = try? Data(contentsOf: file), contents.count > 32 else { return nil }
    let body = contents.dropFirst(32)
    return sha256(body) == contents.prefix(32) ? Data(body) : nil
  }

  /// Keeps a built program's binary. A cache that cannot be written is no error: the next run builds again.
  func store(_ program: cl_program, to file: URL) {
    var size = 0
    guard
      clGetProgramInfo(program, cl_program_info(CL_PROGRAM_BINARY_SIZES), MemoryLayout<Int>.size, &size, nil)
        == CL_SUCCESS,
      size > 0
    else { return }
    var binary = Data(count: size)
    let status = binary.withUnsafeMutableBytes { bytes in
      var pointer = bytes.baseAddress
      return clGetProgramInfo(
        program, cl_program_info(CL_PROGRAM_BINARIES), MemoryLayout<UnsafeMutableRawPointer?>.size, &pointer, nil)
    }
    guard status == CL_SUCCESS else { return }
    store(binary, to: file)
  }

  /// The same of a binary that is at hand.
  package func store(_ binary: Data, to file: URL) {
    let folder = file.deletingLastPathComponent()
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try? (sha256(binary) + binary).write(to: file, options: .atomic)
  }
}
