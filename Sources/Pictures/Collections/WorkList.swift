import Foundation
import Kernels

/// The images that a command's arguments name: files as they are, folders walked, their structure kept.
public struct WorkList: Sendable {
  public struct Item: Sendable {
    public let url: URL
    /// The path below the folder that was named, or the file's own name.
    public let relativePath: String

    public init(url: URL, relativePath: String) { (self.url, self.relativePath) = (url, relativePath) }
  }

  public let items: [Item]
  /// Arguments that could not be read; the rest is worked on all the same.
  public let failures: [any Error]

  /// These files.
  public init(items: [Item]) { (self.items, failures) = (items, []) }

  /// - Throws: `FileError` when nothing at all is found.
  public init(_ arguments: [String]) throws {
    var items: [Item] = []
    var failures: [any Error] = []
    for argument in arguments {
      let url = URL(fileURLWithPath: argument)
      var isDirectory: ObjCBool = false
      guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) else {
        failures.append(FileError(argument, "does not exist"))
        continue
      }
      guard isDirectory.boolValue else {
        items.append(Item(url: url, relativePath: url.lastPathComponent))
        continue
      }
      walk(url, "", &items, &failures)
    }
    if items.isEmpty {
      if failures.count == 1 { throw failures[0] }
      throw FileError(arguments.joined(separator: ", "), "no picture found")
    }
    (self.items, self.failures) = (items, failures)
  }
}

/// Lists a folder's images; a subfolder that cannot be read is a failure of its own.
private func walk(_ folder: URL, _ prefix: String, _ items: inout [WorkList.Item], _ failures: inout [any Error]) {
  do {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    for name in names where !name.hasPrefix(".") {
      let url = folder.appendingPathComponent(name)
      var isDirectory: ObjCBool = false
      guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory) else { continue }
      let path = prefix.isEmpty ? name : "\(prefix)/\(name)"
      if isDirectory.boolValue {
        walk(url, path, &items, &failures)
      } else if ImageType(pathExtension: url.pathExtension) != nil {
        items.append(WorkList.Item(url: url, relativePath: path))
      }
    }
  } catch {
    failures.append(FileError(folder.path, "cannot be read (\(plainReason(error)))"))
  }
}
