import Foundation

/// A file's bytes, read when they are looked at, and given back when they are done with.
package final class MappedFile {
  package let data: Data
  private let base: UnsafeMutableRawPointer?

  /// - Throws: `FileError` naming the file.
  package init(_ url: URL) throws {
    func failure(_ code: Int32 = errno) -> FileError {
      FileError(url.path, "cannot be read (\(String(cString: strerror(code))))")
    }
    let file = open(url.path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw failure() }
    defer { close(file) }
    var status = stat()
    guard fstat(file, &status) == 0 else { throw failure() }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw failure(EISDIR) }
    let length = Int(status.st_size)
    guard length > 0 else {
      (data, base) = (Data(), nil)
      return
    }
    guard let base = mmap(nil, length, PROT_READ, MAP_PRIVATE, file, 0), base != MAP_FAILED else { throw failure() }
    self.base = base
    data = Data(bytesNoCopy: base, count: length, deallocator: .custom { munmap($0, $1) })
  }

  /// Gives the memory of pages that lie in a range back to the system; they are read again if they are looked at again.
  func release(_ range: Range<Int>) {
    guard let base, !range.isEmpty else { return }
    let page = sysconf(Int32(_SC_PAGESIZE))
    let first = range.lowerBound / page * page
    madvise(base + first, range.upperBound - first, MADV_DONTNEED)
  }
}
