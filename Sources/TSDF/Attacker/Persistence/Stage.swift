import Foundation
import Kernels

/// A folder of an experiment whose contents follow from a key: what is in it was made for that, or is removed.
struct Stage {
  let folder: URL
  private static let keyName = "stage.json"

  /// - Parameter key: all that the contents follow from.
  init(_ folder: URL, key: some Encodable) throws {
    self.folder = folder
    let text = Data((try canonicalJSON(key) + "\n").utf8)
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

  func url(_ name: String) -> URL { folder.appendingPathComponent(name) }

  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: url(name).path) }
}

/// Thrown where a run is asked to stop, with all that it did on disk.
public struct Stopped: Error {}
