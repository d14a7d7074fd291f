import Foundation
import SystemPackage

/// A regular file's bytes, read when they are looked at, and given back when they are done with.
package final class MappedFile: Sendable {
  package let data: Data
  private let address: UInt?

  /// - Throws: `FileError` naming the file, also where it is a folder, a pipe, a socket or a device: those may never end.
  package init(_ url: URL) throws {
    (data, address) = try withRegularFile(FilePath(url.path)) { file in
      let length = Int(try Stat(file).size)
      guard length > 0 else { return (Data(), nil) }
      guard let base = mmap(nil, length, PROT_READ, MAP_PRIVATE, file.rawValue, 0), base != MAP_FAILED else {
        throw Errno(rawValue: errno)
      }
      return (Data(bytesNoCopy: base, count: length, deallocator: .custom { munmap($0, $1) }), UInt(bitPattern: base))
    }
  }

  /// Gives the memory of pages that lie in a range back to the system; they are read again if they are looked at again.
  func release(_ range: Range<Int>) {
    guard let address, !range.isEmpty else { return }
    let page = sysconf(Int32(_SC_PAGESIZE))
    let first = range.lowerBound / page * page
    madvise(UnsafeMutableRawPointer(bitPattern: address + UInt(first)), range.upperBound - first, MADV_DONTNEED)
  }
}
