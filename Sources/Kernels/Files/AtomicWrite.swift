import Foundation

/// Writes a file beside its target and renames it, making folders on the way. On failure the target is untouched and
/// nothing is left behind.
public func writeAtomically(_ data: Data, to url: URL) throws {
  try writeAtomically(to: url) { try $0.write(contentsOf: data) }
}

/// The same of what `write` puts into the file, piece by piece.
func writeAtomically(to url: URL, _ write: (FileHandle) throws -> Void) throws {
  let partial = url.deletingLastPathComponent().appendingPathComponent(".\(url.lastPathComponent).partial")
  do {
    try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data().write(to: partial)
    let file = try FileHandle(forWritingTo: partial)
    try write(file)
    try file.close()
    guard rename(partial.path, url.path) == 0 else { throw CocoaError(.fileWriteUnknown) }
  } catch {
    try? FileManager.default.removeItem(at: partial)
    throw FileError(url.path, "cannot be written (\(plainReason(error)))")
  }
}
