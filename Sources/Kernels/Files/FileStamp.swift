import Foundation
import SystemPackage

/// What tells without reading it that a file is as it was: whoever changes its bytes changes one of these, the time of the last
/// change of the inode at the least, which nobody can set.
package struct FileStamp: Codable, Hashable, Sendable {
  package var size: Int64
  package var inode: UInt64
  /// Nanoseconds since 1970.
  package var modified: Int64, changed: Int64

  package init(_ status: Stat) {
    func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) }
    size = Int64(status.rawValue.st_size)
    inode = UInt64(status.rawValue.st_ino)
    modified = nanoseconds(status.rawValue.st_mtim)
    changed = nanoseconds(status.rawValue.st_ctim)
  }

  /// The stamp, or nil where the file was changed so lately that another change could leave it as it is: clocks of file systems tick
  /// every two seconds at worst.
  package var settled: FileStamp? {
    Double(changed) * 1e-9 < Date().timeIntervalSince1970 - 2 ? self : nil
  }
}
