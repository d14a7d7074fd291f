import Foundation
import SystemPackage

/// A folder that a run writes its results to. Below it no symbolic link is followed, and nothing is replaced but what the caller
/// says may be.
package final class OutputFolder: Sendable {
  /// As it was given.
  package let path: FilePath
  let descriptor: FileDescriptor

  /// Makes the folder if it is not there, and removes what killed runs left in it.
  /// - Throws: `FileError` where it cannot be written to.
  package init(_ path: FilePath) throws {
    self.path = path
    do {
      try makeFolders(path)
      descriptor = try FileDescriptor.open(path, .readOnly, options: [.directory, .closeOnExec])
    } catch {
      throw FileError(path, "cannot be made (\(plainReason(error))); give another output folder")
    }
    do {
      try PartialFile.sweep(descriptor)
      _ = try PartialFile(in: descriptor)
    } catch {
      throw FileError(path, "cannot be written to (\(plainReason(error))); give another output folder")
    }
  }

  deinit { try? descriptor.close() }

  /// What is at a place; nil where nothing is.
  package func status(of name: FilePath) throws -> Stat? {
    try attempt(name, "cannot be read") {
      try inFolder(of: name, isMaking: false) { folder, last in
        do {
          return try Stat(last, relativeTo: folder, flags: .symlinkNoFollow)
        } catch Errno.noSuchFileOrDirectory {
          return nil
        }
      } ?? nil
    }
  }

  /// Calls `body` with a regular file that is at a place.
  package func read<R>(_ name: FilePath, _ body: (FileDescriptor) throws -> R) throws -> R {
    try attempt(name, "cannot be read") {
      let result: R? = try inFolder(of: name, isMaking: false) { folder, last in
        let file = try openRegular(last, in: folder)
        defer { try? file.close() }
        return try body(file)
      }
      guard let result else { throw Errno.noSuchFileOrDirectory }
      return result
    }
  }

  /// A file on its way to a place, with these bytes.
  /// - Parameter source: where the permissions and the time of the last change are taken from.
  package func partial(_ data: Data, for name: FilePath, like source: Stat? = nil) throws -> PartialFile {
    try attempt(name, "cannot be written") {
      let partial = try PartialFile(in: descriptor, permissions: source.map(permissions) ?? 0o666)
      try partial.file.writeAll(data)
      if let source { try partial.file.take(from: source) }
      return partial
    }
  }

  /// The same with the bytes of an open file, and their SHA-256.
  package func partial(copying original: FileDescriptor, for name: FilePath, like source: Stat) throws -> (
    PartialFile, digest: String
  ) {
    try attempt(name, "cannot be written") {
      let (partial, digest) = (
        try PartialFile(in: descriptor, permissions: permissions(of: source)), RunningDigest()
      )
      try original.forEachPiece {
        digest.update($0)
        try partial.file.writeAll($0)
      }
      try partial.file.take(from: source)
      return (partial, digest.finish())
    }
  }

  /// Puts a file in its place, on disk, making folders on the way.
  /// - Parameter isReplacing: whether it may replace what is there; if not, that is an error.
  /// - Returns: how it is known from now on.
  @discardableResult
  package func place(_ partial: PartialFile, at name: FilePath, isReplacing: Bool) throws -> FileStamp {
    do {
      return try attempt(name, "cannot be written") {
        _ = try inFolder(of: name, isMaking: true) {
          try partial.place(in: $0, as: $1, isReplacing: isReplacing)
        }
        return try partial.stamp()
      }
    } catch Errno.fileExists {
      throw FileError(
        path.pushing(name), "is there already, and no journal says that tsdf made it; it is left as it is")
    }
  }

  /// Puts a file with these bytes in a place, whatever file is there.
  package func write(_ data: Data, to name: FilePath) throws {
    try place(try partial(data, for: name), at: name, isReplacing: true)
  }

  /// Removes a file, if it is there.
  package func remove(_ name: FilePath) {
    _ = try? inFolder(of: name, isMaking: false) { folder, last in
      last.withPlatformString { unlinkat(folder.rawValue, $0, 0) }
    }
  }

  // MARK: Below the folder

  private func attempt<R>(_ name: FilePath, _ complaint: String, _ body: () throws -> R) throws -> R {
    do {
      return try body()
    } catch let error as FileError {
      throw error
    } catch Errno.fileExists {
      throw Errno.fileExists
    } catch {
      throw FileError(path.pushing(name), "\(complaint) (\(plainReason(error)))")
    }
  }

  /// Calls `body` with the folder that a name below this one lies in and its last component; nil where there is no such folder.
  private func inFolder<R>(of name: FilePath, isMaking: Bool, _ body: (FileDescriptor, FilePath) throws -> R) throws
    -> R?
  {
    guard name.isRelative, let last = name.lastComponent, name.components.allSatisfy({ $0.kind == .regular }) else {
      throw FileError(path.pushing(name), "does not lie in the output folder")
    }
    var folder = try descriptor.duplicate()
    defer { try? folder.close() }
    var walked = path
    for component in name.components.dropLast() {
      walked.append(component)
      let (parent, step) = (folder, FilePath(component))
      func openStep() -> Int32 {
        step.withPlatformString { openat(parent.rawValue, $0, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) }
      }
      var opened = openStep()
      if opened < 0, errno == ENOENT {
        guard isMaking else { return nil }
        let made = step.withPlatformString { mkdirat(parent.rawValue, $0, 0o777) }
        guard made == 0 || errno == EEXIST else { throw Errno(rawValue: errno) }
        try parent.synchronize()
        opened = openStep()
      }
      guard opened >= 0 else {
        let code = errno
        let status = try? Stat(step, relativeTo: parent, flags: .symlinkNoFollow)
        guard status?.type != .symbolicLink else {
          throw FileError(walked, "is a symbolic link; nothing is written or read through it")
        }
        throw Errno(rawValue: code)
      }
      try? parent.close()
      folder = FileDescriptor(rawValue: opened)
    }
    return try body(folder, FilePath(last))
  }
}

private func makeFolders(_ path: FilePath) throws {
  func make() -> Bool { path.withPlatformString { mkdir($0, 0o777) } == 0 || errno == EEXIST }
  if make() { return }
  let code = errno
  let parent = path.removingLastComponent()
  guard code == ENOENT, !parent.isEmpty, parent != path else { throw Errno(rawValue: code) }
  try makeFolders(parent)
  // There are folders in which no other can be made.
  guard make() else { throw Errno(rawValue: errno) }
}

extension FileDescriptor {
  /// Gives a file the permissions of another and the time of its last change. Neither is worth failing for: some file systems
  /// have none.
  fileprivate func take(from source: Stat) throws {
    // The time of the last access is left out (UTIME_OMIT, a macro that Swift does not see).
    var times = [timespec(tv_sec: 0, tv_nsec: (1 << 30) - 2), source.rawValue.st_mtim]
    _ = futimens(rawValue, &times)
    _ = fchmod(rawValue, permissions(of: source))
  }
}

/// What a file's owner, group and others may do with it.
private func permissions(of status: Stat) -> mode_t { status.rawValue.st_mode & 0o777 }
