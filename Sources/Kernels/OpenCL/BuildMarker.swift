import Foundation

/// A file beside the compiled programs that says that one is being built, for as long as that takes. A driver's compiler may abort,
/// or hang until somebody ends its process: the file stays then, and the next process knows. One such end may have had any reason,
/// Ctrl-C for one: two are taken for the compiler's doing. It is locked while its process lives.
package final class BuildMarker {
  /// What is found where a build is about to begin.
  package enum Finding {
    /// Nobody else builds it: it is marked until `end()`.
    case marked(BuildMarker)
    /// Two processes that built it are gone without having ended.
    case left
    /// It cannot be marked: another process builds it too, or nothing can be written there.
    case unmarked
  }

  /// How many builds that did not end are too many.
  private static let most = 2

  private let descriptor: CInt
  private let path: String

  private init(_ descriptor: CInt, _ path: String) { (self.descriptor, self.path) = (descriptor, path) }

  /// Looks for a marker, and leaves one.
  /// - Parameter text: what is built, by what, for people who find the file: a line.
  package static func begin(_ file: URL, text: String) -> Finding {
    try? FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    let descriptor = open(file.path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else { return .unmarked }
    var status = stat()
    // One that was removed between being opened and locked marks nothing.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &status) == 0, status.st_nlink > 0 else {
      close(descriptor)
      return .unmarked
    }
    var before = [UInt8](repeating: 0, count: 4096)
    let count = read(descriptor, &before, before.count)
    guard before.prefix(max(0, count)).count(where: { $0 == UInt8(ascii: "\n") }) < most else {
      close(descriptor)
      return .left
    }
    let bytes = Array("\(text)\n".utf8)
    guard write(descriptor, bytes, bytes.count) == bytes.count else {
      unlink(file.path)
      close(descriptor)
      return .unmarked
    }
    return .marked(BuildMarker(descriptor, file.path))
  }

  /// The build is over, however it went.
  package func end() {
    unlink(path)
    close(descriptor)
  }
}

@available(*, unavailable)
extension BuildMarker: Sendable {}
