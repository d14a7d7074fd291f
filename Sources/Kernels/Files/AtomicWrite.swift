import Foundation
import Synchronization
import SystemPackage

/// Writes a file beside its target and renames it when it is on disk, making folders on the way. On failure the target is
/// untouched and nothing is left behind.
package func writeAtomically(_ data: Data, to url: URL) throws {
  try writeAtomically(to: url) { try $0.writeAll(data) }
}

/// The same of what `write` puts into the file, piece by piece.
func writeAtomically(to url: URL, _ write: (FileDescriptor) throws -> Void) throws {
  do {
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    let folder = try FileDescriptor.open(
      FilePath(url.deletingLastPathComponent().path), .readOnly, options: [.directory, .closeOnExec])
    defer { try? folder.close() }
    try sweepOnce(folder)
    let partial = try PartialFile(in: folder)
    try write(partial.file)
    try partial.place(in: folder, as: FilePath(url.lastPathComponent), isReplacing: true)
  } catch {
    throw FileError(url.path, "cannot be written (\(plainReason(error)))")
  }
}

/// The folders that were looked through for what killed processes left.
private let swept = Mutex<Set<[UInt64]>>([])

private func sweepOnce(_ folder: FileDescriptor) throws {
  let status = try Stat(folder)
  let isFirst = swept.withLock {
    $0.insert([UInt64(status.rawValue.st_dev), UInt64(status.rawValue.st_ino)]).inserted
  }
  if isFirst { try PartialFile.sweep(folder) }
}
