import SystemPackage

import struct Foundation.Data

/// A folder of results that each run of a command makes anew: edits, reports. A file in it is replaced only where a run made it
/// and nobody changed it since; whatever else lies there stays. It is locked as long as it is open.
package final class ResultFolder {
  private let folder: OutputFolder
  private let journal: Journal<Result>
  /// What this run has put in place.
  private var written: Set<FilePath> = []

  /// What is known of a result.
  struct Result: JournalEntry {
    /// Relative to the folder.
    var output: RecordedPath
    /// The SHA-256 of its bytes.
    var bytes: String

    static var journalName: String { PartialFile.ownPrefix + "results.jsonl" }
    static var keyField: String { "output" }
    var key: FilePath { output.path }
  }

  /// Makes the folder, or checks that it can be written to.
  /// - Parameters:
  ///   - names: results that the run will write: their places are checked before any work.
  ///   - waiting: called again and again as long as another run works in the folder.
  /// - Throws: `FileError` where the folder cannot be written to, or where somebody's file is in the way.
  package init(_ path: FilePath, for names: [FilePath] = [], waiting: () throws -> Void = {}) throws {
    folder = try OutputFolder(path)
    journal = try Journal(in: folder, waiting: waiting)
    for name in names { _ = try mayReplace(name) }
  }

  /// Puts a result in a place. Where this run has put another already, it gets a number.
  /// - Returns: where it lies.
  /// - Throws: `FileError` where somebody's file lies there.
  @discardableResult
  package func write(_ data: Data, to name: FilePath) throws -> FilePath {
    var place = name
    var number = 1
    while written.contains(place) {
      number += 1
      place = name.numbered(number)
    }
    let isReplacing = try mayReplace(place)
    let partial = try folder.partial(data, for: place)
    // Who finds the result must find the line that tells whose it is.
    try journal.add(Result(output: RecordedPath(place), bytes: sha256(data).hexadecimal))
    try folder.place(partial, at: place, isReplacing: isReplacing)
    written.insert(place)
    return folder.path.pushing(place)
  }

  /// Whether a result of an earlier run lies in a place; false where nothing does.
  private func mayReplace(_ name: FilePath) throws -> Bool {
    guard let status = try folder.status(of: name) else { return false }
    let lines = journal.lines(of: name)
    if status.type == .regular, !lines.isEmpty {
      if status.size == 0 { return true }
      let digest = try folder.read(name) { try sha256(of: $0) }
      if lines.contains(where: { $0.bytes == digest }) { return true }
    }
    throw FileError(
      folder.path.pushing(name),
      lines.isEmpty
        ? "is there already, and no journal says that tsdf made it; it is left as it is: move it away or give another folder"
        : "was changed since tsdf made it; it is left as it is: move it away to have it made anew")
  }
}

extension FilePath {
  /// The same with a number before the ending of its last component.
  fileprivate func numbered(_ number: Int) -> FilePath {
    guard let last = lastComponent else { return self }
    let bytes = FilePath(last).bytes
    let dot = bytes.lastIndex(of: UInt8(ascii: ".")) ?? bytes.endIndex
    return removingLastComponent().pushing(FilePath(bytes: bytes[..<dot] + ".\(number)".utf8 + bytes[dot...]))
  }
}

@available(*, unavailable)
extension ResultFolder: Sendable {}
