import Foundation
import Kernels
import SystemPackage

/// Finds the files below what arguments name: each folder once, whatever links lead to it, and each file once.
struct FolderWalk {
  private(set) var list = WorkList(items: [])
  private var visited: Set<[UInt64]> = []
  /// Files that arguments name themselves.
  private var named: Set<Place> = []
  private let output: [UInt64]?
  /// A file by the folder that it is in.
  private struct Place: Hashable {
    let folder: [UInt64], name: FilePath.Component
  }

  /// Folders that only a link is known to lead to so far.
  private var linked: [(folder: FilePath, relativePath: FilePath)] = []

  init(leavingOut output: Stat?) { self.output = output.map(identity) }

  mutating func add(_ argument: String) {
    let given = FilePath(argument: argument)
    do {
      let status = try Stat(given)
      let path = try canonical(given, isFolder: status.type == .directory)
      if status.type == .directory {
        walk(path, "")
        while !linked.isEmpty {
          let next = linked.removeFirst()
          walk(next.folder, next.relativePath)
        }
      } else {
        guard status.type == .regular else { throw FileError(given, "is not a regular file") }
        let name = path.lastComponent!
        let place = Place(folder: identity(try Stat(path.removingLastComponent())), name: name)
        guard !visited.contains(place.folder) || PartialFile.isOwnFile(name), named.insert(place).inserted else {
          return
        }
        let item = try item(path, FilePath(name))
        guard item.isPicture else {
          throw FileError(given, "is no picture\(item.kind == .other ? "" : " but of the kind \(item.kind.name)")")
        }
        take(item)
      }
    } catch Errno.noSuchFileOrDirectory {
      list.failures.append(FileError(given, "does not exist"))
    } catch {
      fail(given, error)
    }
  }

  private mutating func walk(_ folder: FilePath, _ relativePath: FilePath) {
    do {
      let (id, names) = try listing(of: folder)
      guard id != output || relativePath.isEmpty, visited.insert(id).inserted else { return }
      for name in names where !PartialFile.isOwnFile(name) {
        let (path, relative) = (folder.appending(name), relativePath.appending(name))
        do {
          var status = try Stat(path, followTargetSymlink: false)
          let isLink = status.type == .symbolicLink
          if isLink { status = try Stat(path) }
          switch status.type {
          case .directory where isLink: linked.append((path, relative))
          case .directory: walk(path, relative)
          case .regular:
            if named.isEmpty || !named.contains(Place(folder: id, name: name)) { take(try item(path, relative)) }
          default: list.others.append(WorkList.Item(path: path, relativePath: relative, kind: .special))
          }
        } catch {
          fail(path, error)
        }
      }
    } catch {
      fail(folder, error)
    }
  }

  /// A regular file.
  private func item(_ path: FilePath, _ relativePath: FilePath) throws -> WorkList.Item {
    let head = try withRegularFile(path) { file in
      try [UInt8](unsafeUninitializedCapacity: FileKind.headByteCount) { buffer, count in
        count = try file.read(fromAbsoluteOffset: 0, into: UnsafeMutableRawBufferPointer(buffer))
      }
    }
    return WorkList.Item(path: path, relativePath: relativePath, kind: FileKind(head: head))
  }

  /// Puts a file on its list.
  private mutating func take(_ item: WorkList.Item) {
    if item.isRead {
      list.items.append(item)
    } else if item.isPicture {
      list.unread.append(item)
    } else {
      list.others.append(item)
    }
  }

  private mutating func fail(_ path: FilePath, _ error: any Error) {
    list.failures.append(error as? FileError ?? FileError(path, "cannot be read (\(plainReason(error)))"))
  }
}

extension WorkList.Item {
  /// Whether it is a picture that can be read, or named like one: reading it tells what is wrong with it.
  fileprivate var isRead: Bool {
    kind.type != nil || [.empty, .text, .other].contains(kind) && FileKind.isPictureName(path)
  }

  fileprivate var isPicture: Bool { isRead || kind.isPicture }
}

/// What a folder is known by, and the names in it, in their bytes' order.
private func listing(of folder: FilePath) throws -> (id: [UInt64], names: [FilePath.Component]) {
  let opened = try FileDescriptor.open(folder, .readOnly, options: [.directory, .closeOnExec])
  defer { try? opened.close() }
  let names = try opened.entryNames().map { ($0, FilePath($0).bytes) }
  return (
    identity(try Stat(opened)), names.sorted { $0.1.lexicographicallyPrecedes($1.1) }.map(\.0)
  )
}

private func identity(_ status: Stat) -> [UInt64] { [UInt64(status.rawValue.st_dev), UInt64(status.rawValue.st_ino)] }

/// An absolute path without symbolic links; of a file the last component is as it was given.
private func canonical(_ path: FilePath, isFolder: Bool) throws -> FilePath {
  let name = isFolder ? nil : path.lastComponent
  let folder = name == nil ? path : path.removingLastComponent()
  let resolved = try (folder.isEmpty ? "." : folder).withPlatformString { text -> FilePath in
    guard let found = realpath(text, nil) else { throw Errno(rawValue: errno) }
    defer { free(found) }
    return FilePath(platformString: found)
  }
  return name.map { resolved.appending($0) } ?? resolved
}

extension FilePath {
  /// The path that an argument names: text holds no bytes that are not UTF-8, so where some were lost the process's own arguments
  /// are asked for them.
  package init(argument: String) {
    let text = Array(argument.utf8)
    for index in 0..<Int(CommandLine.argc) where argument.unicodeScalars.contains("\u{FFFD}") {
      guard let raw = CommandLine.unsafeArgv[index] else { break }
      // By itself, or behind --option=.
      for start in [raw] + [strchr(raw, Int32(UInt8(ascii: "=")))].compactMap({ $0?.advanced(by: 1) })
      where String(cString: start).utf8.elementsEqual(text) {
        self.init(platformString: start)
        return
      }
    }
    self.init(argument)
  }
}
