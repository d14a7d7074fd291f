import ArgumentParser
@preconcurrency import Foundation
import Kernels

/// Standard output and standard error as they may be: closed, full, or a pipe that nobody reads from any more.
enum StandardStreams {
  /// Makes writing to them, and to files, safe: no signal ends the process for it, and no file that is opened takes the place of one that is closed.
  static func secure() {
    signal(SIGPIPE, SIG_IGN)
    // A file that may not grow any more is an error like a full disk.
    signal(SIGXFSZ, SIG_IGN)
    for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) < 0 && errno == EBADF {
      // What is written to standard output fails as it should; on standard error nobody looks.
      let opened = open("/dev/null", number == STDERR_FILENO ? O_WRONLY : O_RDONLY)
      if opened >= 0, opened != number {
        dup2(opened, number)
        close(opened)
      }
    }
  }

  /// Makes sure that all results were written.
  /// - Throws: `FileError` where they were not.
  static func finishOutput() throws {
    let isFlushed = fflush(stdout) == 0
    guard isFlushed, ferror(stdout) == 0 else {
      throw FileError("standard output", "the results cannot be written (\(String(cString: strerror(errno))))")
    }
  }

  /// Writes to standard error what can be written; what cannot is dropped.
  static func writeError(_ text: String) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}
