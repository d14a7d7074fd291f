import Foundation

/// Devices whose drivers build the kernels in no way: a file each, which says why, in the folder of what is kept between runs.
/// Another driver, or other kernels, have another file.
extension OpenCLDeviceInfo {
  private func complaintFile(in folder: URL?) -> URL? {
    folder?.appendingPathComponent("unusable-\(digest(KernelPrelude.structures, KernelSource.everything)).txt")
  }

  /// Leaves the device out of the choice from now on. A folder that cannot be written is no error: the next run tries it again.
  func markUnusable(in folder: URL?, reason: String) {
    guard let file = complaintFile(in: folder) else { return }
    try? writeAtomically(Data("\(compiler) builds no kernels.\n\(reason)\n".utf8), to: file)
  }

  /// Why the device is not to be chosen, for people; nil where it may be.
  package func complaint(in folder: URL? = cacheDirectory()) -> String? {
    guard let file = complaintFile(in: folder), FileManager.default.fileExists(atPath: file.path) else { return nil }
    return "\(name) is left out: \(compiler) could not build the kernels. To let it try again, delete \(file.path)"
  }
}
