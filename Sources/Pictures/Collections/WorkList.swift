import Foundation
import Kernels
import SystemPackage

/// The pictures that a command's arguments name: files as they are, folders walked, their structure kept. Every file below is in
/// one of the lists.
package struct WorkList: Sendable {
  package struct Item: Sendable {
    /// Absolute, without symbolic links but for the last component.
    package let path: FilePath
    /// The path below the folder that was named, or the file's own name.
    package let relativePath: FilePath
    package let kind: FileKind

    package init(path: FilePath, relativePath: FilePath, kind: FileKind) {
      (self.path, self.relativePath, self.kind) = (path, relativePath, kind)
    }

    /// The relative path as text, for lists.
    package var name: String { relativePath.text }

    /// The file's bytes.
    /// - Throws: `FileError` naming the file.
    package func data() throws -> Data { try contents(of: path) }

    /// The picture as the file holds it.
    /// - Throws: `FileError` naming the file and what is wrong with it.
    package func picture() throws -> ImageFile { try ImageFile(data(), path: path.shown) }
  }

  /// Pictures, and what is named like one: reading it tells what is wrong with it.
  package internal(set) var items = Items()
  /// Pictures of kinds that cannot be read.
  package internal(set) var unread = Items()
  /// Files that are no pictures.
  package internal(set) var others = Items()
  /// Arguments, folders and files that could not be opened; the rest is worked on all the same.
  package internal(set) var failures: [any Error] = []

  /// These files.
  package init(items: some Sequence<Item>) { self.items = Items(items) }

  /// - Parameters:
  ///   - arguments: paths as the command line has them.
  ///   - output: a folder that is left out where it lies in another; it need not be there.
  ///   - isPictureNeeded: whether finding no picture is an error.
  /// - Throws: `FileError` when no picture is found.
  package init(_ arguments: [String], leavingOut output: FilePath? = nil, isPictureNeeded: Bool = true) throws {
    var walk = FolderWalk(leavingOut: output.flatMap { try? Stat($0) })
    for argument in arguments { walk.add(argument) }
    self = walk.list
    if items.isEmpty, isPictureNeeded {
      let problems = problems
      if problems.count == 1 { throw problems[0] }
      throw Self.nothingFound(arguments)
    }
  }

  /// That arguments name no picture.
  package static func nothingFound(_ arguments: [String]) -> FileError {
    FileError(arguments.joined(separator: ", "), "no picture that can be read was found")
  }

  /// What keeps files from being worked on: those that could not be opened, and pictures of kinds that cannot be read.
  package var problems: [any Error] {
    failures + unread.map { FileError($0.path, "is a picture of the kind \($0.kind.name), which cannot be read") }
  }
}
