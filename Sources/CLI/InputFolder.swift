import ArgumentParser
import Foundation

/// A folder that originals lie in: one that is named, or that of a file that is.
struct InputFolder {
  /// As it was given.
  let input: String
  /// Without symbolic links.
  let path: String
  /// Whether all that is in it is taken.
  let isWalked: Bool

  init(_ input: String) {
    let url = URL(fileURLWithPath: realPath(input))
    var isDirectory: ObjCBool = false
    _ = FileManager.default.fileExists(atPath: url.path, isDirectory: &isDirectory)
    isWalked = isDirectory.boolValue
    path = isWalked ? url.path : url.deletingLastPathComponent().path
    self.input = input
  }

  /// Refuses an output folder in which originals would be overwritten.
  func requireApart(from output: String) throws {
    guard realPath(output) != path else {
      throw ValidationError("the output folder is that of \(input); the originals would be overwritten")
    }
  }
}

/// A path without symbolic links.
func realPath(_ path: String) -> String {
  URL(fileURLWithPath: path).resolvingSymlinksInPath().standardizedFileURL.path
}
