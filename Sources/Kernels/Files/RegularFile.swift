import Foundation
import SystemPackage

/// Opens a file to be read, if it is a regular one: pipes, sockets and devices may never end, and opening a device may do
/// something.
/// - Parameters:
///   - folder: where a relative path starts; then a symbolic link is not followed.
/// - Throws: `Errno`, or `FileError` for what is not a regular file.
func openRegular(_ path: FilePath, in folder: FileDescriptor? = nil) throws -> FileDescriptor {
  // A pipe that nobody writes to would hold an opening that waits.
  let options = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (folder == nil ? 0 : O_NOFOLLOW)
  let opened = path.withPlatformString { openat(folder?.rawValue ?? AT_FDCWD, $0, options) }
  guard opened >= 0 else { throw Errno(rawValue: errno) }
  let file = FileDescriptor(rawValue: opened)
  do {
    let type = try Stat(file).type
    guard type != .directory else { throw Errno.isDirectory }
    guard type == .regular else { throw FileError(path, "is not a regular file") }
    return file
  } catch {
    try? file.close()
    throw error
  }
}

/// Calls `body` with an open regular file.
/// - Throws: `FileError` naming the file, also where it is a folder, a pipe, a socket or a device.
package func withRegularFile<R>(_ path: FilePath, _ body: (FileDescriptor) throws -> R) throws -> R {
  do {
    let file = try openRegular(path)
    defer { try? file.close() }
    return try body(file)
  } catch let error as Errno {
    throw FileError(path, "cannot be read (\(error))")
  }
}

/// A regular file's bytes.
/// - Throws: `FileError` naming the file.
package func contents(of path: FilePath) throws -> Data { try withRegularFile(path) { try $0.contents() } }

extension FileDescriptor {
  /// All bytes of an open file.
  package func contents() throws -> Data {
    var data = Data(capacity: Int(try Stat(self).size))
    try forEachPiece { data.append(contentsOf: $0) }
    return data
  }
}
