import Foundation
import Kernels
import SystemPackage

/// A folder of an experiment whose contents follow from a key: what is in it was made for that, or is removed.
struct Stage {
  let folder: URL
  private static let keyName = "stage.json"

  /// - Parameter key: all that the contents follow from.
  /// - Throws: `FileError` where somebody's folder is in the way, or what another key made cannot be removed.
  init(_ folder: URL, key: some Encodable) throws {
    self.folder = folder
    let text = Data((try canonicalJSON(key) + "\n").utf8)
    // Several devices and processes begin with the same folder: one of them makes it, the others find it made.
    try Self.locking(folder.deletingLastPathComponent()) {
      let file = folder.appendingPathComponent(Self.keyName)
      if (try? Data(contentsOf: file)) == text { return }
      if FileManager.default.fileExists(atPath: folder.path) {
        // Nothing that no experiment wrote is removed.
        guard FileManager.default.fileExists(atPath: file.path) else {
          throw FileError(folder.path, "was not made by tsdf persist; give another --output")
        }
        do {
          try FileManager.default.removeItem(at: folder)
        } catch {
          throw FileError(folder.path, "is of another recipe and cannot be removed (\(plainReason(error)))")
        }
      }
      try writeAtomically(text, to: file)
    }
  }

  /// Calls `body` while nobody else does so for this folder, which is made if it is not there.
  private static func locking(_ folder: URL, _ body: () throws -> Void) throws {
    let opened: FileDescriptor
    do {
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      opened = try FileDescriptor.open(FilePath(folder.path), .readOnly, options: [.directory, .closeOnExec])
    } catch {
      throw FileError(folder.path, "cannot be made (\(plainReason(error)))")
    }
    defer { try? opened.close() }
    // A file system without locks has one run at a time.
    while flock(opened.rawValue, LOCK_EX) != 0, errno == EINTR {}
    try body()
  }

  func url(_ name: String) -> URL { folder.appendingPathComponent(name) }

  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: url(name).path) }
}

/// Thrown where a run is asked to stop, with all that it did on disk.
public struct Stopped: Error {}
