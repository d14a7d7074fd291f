import Foundation

/// A regular file's bytes, read when they are looked at, and given back when they are done with.
package final class MappedFile: Sendable {
  package let data: Data
  private let address: UInt?

  /// - Throws: `FileError` naming the file, also where it is a folder, a pipe, a socket or a device: those may never end.
  package init(_ url: URL) throws {
    func failure(_ code: Int32 = errno) -> FileError {
      FileError(url.path, "cannot be read (\(String(cString: strerror(code))))")
    }
    // A pipe that nobody writes to would hold an opening that waits.
    let file = open(url.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard file >= 0 else { throw failure() }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { throw failure() }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw failure(EISDIR) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw FileError(url.path, "is not a regular file") }
    let length = Int(status.st_size)
    guard length > 0 else {
      (data, address) = (Data(), nil)
      return
    }
    guard let base = mmap(nil, length, PROT_READ, MAP_PRIVATE, file, 0), base != MAP_FAILED else { throw failure() }
    address = UInt(bitPattern: base)
    data = Data(bytesNoCopy: base, count: length, deallocator: .custom { munmap($0, $1) })
  }

  /// Gives the memory of pages that lie in a range back to the system; they are read again if they are looked at again.
  func release(_ range: Range<Int>) {
    guard let address, !range.isEmpty else { return }
    let page = sysconf(Int32(_SC_PAGESIZE))
    let first = range.lowerBound / page * page
    madvise(UnsafeMutableRawPointer(bitPattern: address + UInt(first)), range.upperBound - first, MADV_DONTNEED)
  }
}
