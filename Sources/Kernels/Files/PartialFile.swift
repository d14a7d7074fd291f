import Foundation
import SystemPackage

/// A file on its way: under a name of its own in a folder until it is put in its place. It is locked as long as it is written, so
/// that what a killed process left is known and removed. Without being put anywhere it goes with the last reference.
package final class PartialFile {
  let file: FileDescriptor
  private let folder: FileDescriptor
  private let name: FilePath
  private var isPlaced = false

  /// What all names of this tool's own files begin with.
  package static let ownPrefix = ".tsdf-"
  private static let suffix = ".partial"

  /// - Parameter permissions: what others may do with it at most, from the first byte on.
  /// - Throws: `Errno`.
  init(in folder: FileDescriptor, permissions: mode_t = 0o666) throws {
    while true {
      let number = String(UInt64.random(in: .min ... .max), radix: 36)
      let name = FilePath(Self.ownPrefix + number + Self.suffix)
      // A link under that name is not followed.
      let options = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
      let opened = name.withPlatformString { openat(folder.rawValue, $0, options, permissions) }
      if opened < 0, errno == EEXIST { continue }
      guard opened >= 0 else { throw Errno(rawValue: errno) }
      _ = flock(opened, LOCK_EX | LOCK_NB)
      // Another process may have taken it for left over before it was locked.
      if let status = try? Stat(FileDescriptor(rawValue: opened)), status.rawValue.st_nlink == 0 {
        close(opened)
        continue
      }
      (self.file, self.folder, self.name) = (FileDescriptor(rawValue: opened), folder, name)
      return
    }
  }

  deinit {
    if !isPlaced { _ = name.withPlatformString { unlinkat(folder.rawValue, $0, 0) } }
    try? file.close()
  }

  /// Its size, times and place on disk so far.
  package func stamp() throws -> FileStamp { FileStamp(try Stat(file)) }

  /// The SHA-256 of its first bytes.
  package func digest(first count: Int) throws -> String { try sha256(of: file, first: count) }

  /// Puts the file, when its bytes are on disk, in a place of a folder of the same file system.
  /// - Parameter isReplacing: whether it may take the place of what is there; if not, `Errno.fileExists` is thrown.
  func place(in target: FileDescriptor, as targetName: FilePath, isReplacing: Bool) throws {
    try file.synchronize()
    try name.withPlatformString { name in
      try targetName.withPlatformString { targetName in
        func require(_ result: Int32) throws {
          guard result == 0 else { throw Errno(rawValue: errno) }
        }
        if isReplacing {
          try require(renameat(folder.rawValue, name, target.rawValue, targetName))
        } else if linkat(folder.rawValue, name, target.rawValue, targetName, 0) == 0 {
          // A second name, unlike a rename, never takes the place of another file.
          _ = unlinkat(folder.rawValue, name, 0)
        } else {
          // Not every file system has second names.
          guard [EPERM, ENOSYS, ENOTSUP, EMLINK].contains(errno) else { throw Errno(rawValue: errno) }
          if (try? Stat(targetName, relativeTo: target, flags: .symlinkNoFollow)) != nil { throw Errno.fileExists }
          try require(renameat(folder.rawValue, name, target.rawValue, targetName))
        }
      }
    }
    isPlaced = true
    try target.synchronize()
  }

  /// Removes what killed processes left in a folder.
  static func sweep(_ folder: FileDescriptor) throws {
    for name in try folder.entryNames() where isOwn(name) {
      let opened = FilePath(name).withPlatformString {
        openat(folder.rawValue, $0, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
      }
      guard opened >= 0 else { continue }
      if flock(opened, LOCK_EX | LOCK_NB) == 0 {
        _ = FilePath(name).withPlatformString { unlinkat(folder.rawValue, $0, 0) }
      }
      close(opened)
    }
  }

  private static func isOwn(_ name: FilePath.Component) -> Bool {
    let text = FilePath(name).text
    return text.hasPrefix(ownPrefix) && text.hasSuffix(suffix)
      && text.dropFirst(ownPrefix.count).dropLast(suffix.count).utf8.allSatisfy {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
      }
  }

  /// Whether a file of this name in a folder is this tool's own: a journal, or one on its way.
  package static func isOwnFile(_ name: FilePath.Component) -> Bool {
    isOwn(name) || FilePath(name).text.hasPrefix(ownPrefix) && FilePath(name).text.hasSuffix(".jsonl")
  }
}

@available(*, unavailable)
extension PartialFile: Sendable {}

extension FileDescriptor {
  /// Waits until a file's or a folder's contents are on disk, where the file system can tell.
  func synchronize() throws {
    guard fsync(rawValue) != 0, errno != EINVAL, errno != ENOTSUP, errno != EROFS else { return }
    throw Errno(rawValue: errno)
  }

  /// The names in a folder, in no order.
  package func entryNames() throws -> [FilePath.Component] {
    let opened = openat(rawValue, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard opened >= 0 else { throw Errno(rawValue: errno) }
    guard let stream = fdopendir(opened) else {
      let code = errno
      Glibc.close(opened)
      throw Errno(rawValue: code)
    }
    defer { closedir(stream) }
    var names: [FilePath.Component] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw Errno(rawValue: errno) }
        return names
      }
      let offset = MemoryLayout<dirent>.offset(of: \.d_name)!
      let text = UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
      if let name = FilePath.Component(platformString: text), name.kind == .regular { names.append(name) }
    }
  }
}
