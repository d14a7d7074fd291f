import Foundation
import SystemPackage

/// The files of one journal: a folder's own, which a run alone in the folder writes to, and one for each shard of a run, named
/// `STEM.INDEX-of-COUNT.ENDING` after it.
struct JournalFiles {
  let folder: FileDescriptor
  /// The folder as it was given.
  let path: FilePath
  /// The folder's own.
  let name: FilePath

  /// What is held of an open journal.
  struct Opened {
    /// What this run writes to.
    var file: FileDescriptor
    /// The folder's own file, which keeps runs without shards out while a shard works; nil where it is `file`.
    var common: FileDescriptor?
  }

  func name(of shard: Shard) -> FilePath { FilePath(stem + ".\(shard.index)-of-\(shard.count)" + ending) }

  private var text: String { name.text }
  private var stem: String { String(text.dropLast(ending.count)) }
  private var ending: String { name.extension.map { ".\($0)" } ?? "" }

  /// The names of shards' files that are there, sorted.
  func shardNames() throws -> [FilePath] {
    try folder.entryNames().map { FilePath($0) }.filter { found in
      let text = found.text
      guard text.hasPrefix(stem + "."), text.hasSuffix(ending) else { return false }
      let middle = text.dropFirst(stem.count + 1).dropLast(ending.count)
      let numbers = middle.components(separatedBy: "-of-").map { Int($0) }
      guard numbers.count == 2, let index = numbers[0], let count = numbers[1], let shard = Shard(index, of: count)
      else { return false }
      return name(of: shard) == found
    }.sorted { $0.text < $1.text }
  }

  /// All files that are there but one, opened to be read: the folder's own first. None where that is not there, for no shard
  /// works without it.
  func parts(besides left: FilePath? = nil) throws -> [FileDescriptor] {
    let common: FileDescriptor
    do {
      common = try openRegular(name, in: folder)
    } catch Errno.noSuchFileOrDirectory {
      return []
    }
    var found = [(name, common)]
    do {
      for name in try shardNames() where name != left {
        // Another run may just have put what it says into the folder's own.
        guard let file = try? openRegular(name, in: folder) else { continue }
        found.append((name, file))
      }
    } catch {
      for (_, file) in found { try? file.close() }
      throw error
    }
    if left == name { try common.close() }
    return found.filter { $0.0 != left }.map(\.1)
  }

  /// Opens what a run writes to, locked. What shards left is put into the folder's own file where no shard is at work.
  /// - Parameter waiting: called again and again as long as another run keeps this one out; it may throw to give up.
  func open(_ shard: Shard?, waiting: () throws -> Void) throws -> Opened {
    let common = try openLocked(name, shard == nil ? LOCK_EX : LOCK_SH, waiting)
    guard let shard else { return Opened(file: common, common: nil) }
    do {
      return Opened(file: try openLocked(name(of: shard), LOCK_EX, waiting), common: common)
    } catch {
      try? common.close()
      throw error
    }
  }

  /// - Parameter mode: `LOCK_EX`, or `LOCK_SH` for a file that several may hold.
  private func openLocked(_ name: FilePath, _ mode: Int32, _ waiting: () throws -> Void) throws -> FileDescriptor {
    while true {
      let options = O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
      let opened = name.withPlatformString { openat(folder.rawValue, $0, options, 0o666) }
      guard opened >= 0 else { throw Errno(rawValue: errno) }
      let file = FileDescriptor(rawValue: opened)
      do {
        guard try Stat(file).type == .regular else {
          throw FileError(path.appending(name.components), "is not a regular file")
        }
        if name == self.name, flock(opened, LOCK_EX | LOCK_NB) == 0, try isInPlace(file, name) { try merge(into: file) }
        // A file system without locks goes without.
        while flock(opened, mode | LOCK_NB) != 0, errno == EWOULDBLOCK {
          try waiting()
          usleep(100_000)
        }
        if try isInPlace(file, name) { return file }
      } catch {
        try? file.close()
        throw error
      }
      try? file.close()
    }
  }

  /// Whether a file is still what its name stands for: the one that had it may have put a new one in its place.
  private func isInPlace(_ file: FileDescriptor, _ name: FilePath) throws -> Bool {
    let current = try? Stat(name, relativeTo: folder, flags: .symlinkNoFollow)
    return try current?.inode == Stat(file).inode
  }

  /// Puts what shards said behind what the folder's own file says, and removes theirs: nobody else may hold it. What a crash
  /// leaves in both is said twice.
  private func merge(into file: FileDescriptor) throws {
    let names = try shardNames()
    guard !names.isEmpty else { return }
    for name in names {
      let part = try openRegular(name, in: folder)
      defer { try? part.close() }
      // Whatever a crash cut off, before or behind, costs itself alone.
      try file.writeAll([UInt8(ascii: "\n")])
      try part.forEachPiece { try file.writeAll($0) }
    }
    try file.writeAll([UInt8(ascii: "\n")])
    try file.synchronize()
    for name in names { _ = name.withPlatformString { unlinkat(folder.rawValue, $0, 0) } }
  }
}
