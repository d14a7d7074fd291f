import Foundation
import Kernels
import Pictures
import SystemPackage

/// An output folder of copies and its journal. A file in it is replaced only where the journal shows that it is a copy that was
/// made here and still has the bytes that it got then, or what is left of one that was cut off.
package final class CopyFolder: Sendable {
  package let folder: OutputFolder
  package let journal: Journal<ProtectedFile>

  /// Makes the folder, or checks that it can be written to, and opens its journal.
  /// - Parameters:
  ///   - shard: which part of a run this is: other shards may work in the folder at once.
  ///   - waiting: called again and again as long as another run keeps this one out.
  package init(_ path: FilePath, shard: Shard? = nil, waiting: () throws -> Void = {}) throws {
    folder = try OutputFolder(path)
    journal = try Journal(in: folder, shard: shard, waiting: waiting)
  }

  /// What lies at a copy's place.
  package enum Standing: Sendable {
    case absent
    /// The copy of this source under these settings. The entry is as the journal should have it; `isKnown` where it has.
    case done(ProtectedFile, isKnown: Bool)
    /// A copy that was made here of something else, or that was emptied.
    case replaceable
    /// What may be a copy, whole or cut off, of which the journal does not say enough: only what is made anew can tell.
    case doubtful
    /// Somebody's file.
    case foreign
  }

  /// What lies at the place of an item's copy.
  package func standing(of name: FilePath, for item: WorkList.Item, settings: String) throws -> Standing {
    let known = try knownStanding(of: name, for: item, settings: settings)
    switch known {
    case .absent, .done, .replaceable: return known
    case .doubtful, .foreign:
      guard journal.isShared else { return known }
      // Another shard may have put it there since the journals were read.
      try journal.refresh()
      // One that found other inputs may have named the copy of another one so.
      if let origin = journal[name]?.origin, origin != item.origin { return .foreign }
      return try knownStanding(of: name, for: item, settings: settings)
    }
  }

  /// The same by what the journal is known to say.
  private func knownStanding(of name: FilePath, for item: WorkList.Item, settings: String) throws -> Standing {
    guard let status = try folder.status(of: name) else { return .absent }
    guard status.type == .regular else { return .foreign }
    let (lines, size, stamp) = (journal.lines(of: name), status.size, FileStamp(status))
    var found = lines.last { $0.copyStamp == stamp }
    if found == nil, lines.contains(where: { $0.bytes == size }) {
      let digest = try folder.read(name) { try sha256(of: $0) }
      found = lines.last { $0.copy == digest }
    }
    if let found {
      let source = try source(of: item, known: lines)
      guard found.source == source.digest, found.settings == settings else { return .replaceable }
      var entry = found
      (entry.origin, entry.sourceStamp, entry.copyStamp) = (item.origin, source.stamp, stamp)
      let isKnown = entry.origin == found.origin && entry.sourceStamp == found.sourceStamp
      return .done(entry, isKnown: isKnown && entry.copyStamp == found.copyStamp)
    }
    if size == 0, !lines.isEmpty { return .replaceable }
    let isCut = lines.contains { $0.bytes.map { size < $0 } ?? true }
    let isItem = stamp == (try? FileStamp(Stat(item.path)))
    return (isCut || journal.damagedLineCount > 0) && !isItem ? .doubtful : .foreign
  }

  /// An item's SHA-256, of its bytes only where the journal does not know the file as it is, and how it is known from now on.
  package func source(of item: WorkList.Item, known lines: [ProtectedFile]) throws -> (
    digest: String, stamp: FileStamp?
  ) {
    let stamp = try item.stamp()
    if let stamp, let line = lines.last(where: { $0.sourceStamp == stamp }) { return (line.source, stamp) }
    return (try withRegularFile(item.path) { try sha256(of: $0) }, stamp)
  }

  /// Puts an item's copy in its place.
  /// - Parameter made: the copy's bytes; nil for those of the item.
  /// - Returns: the entry as it stands in the journal.
  /// - Throws: `FileError` where something lies there that may not be replaced.
  package func put(_ made: Data?, _ entry: ProtectedFile, for item: WorkList.Item) throws -> ProtectedFile {
    let name = entry.output.path
    var entry = entry
    let partial: PartialFile = try withRegularFile(item.path) { file in
      let status = try Stat(file)
      if let made {
        (entry.copy, entry.bytes) = (sha256(made).hexadecimal, Int64(made.count))
        return try folder.partial(made, for: name, like: status)
      }
      let (partial, digest) = try folder.partial(copying: file, for: name, like: status)
      (entry.source, entry.copy, entry.bytes) = (digest, digest, try partial.stamp().size)
      return partial
    }
    var isReplacing = true
    switch try standing(of: name, for: item, settings: entry.settings) {
    case .absent: isReplacing = false
    case .done, .replaceable: break
    case .doubtful:
      let (size, digest) = try folder.read(name) { (try Stat($0).size, try sha256(of: $0)) }
      if digest == entry.copy {
        entry.copyStamp = try folder.status(of: name).map(FileStamp.init)
        try journal.add(entry)
        return entry
      }
      guard size < entry.bytes ?? 0, try partial.digest(first: Int(size)) == digest else { throw refusal(name) }
    case .foreign: throw refusal(name)
    }
    // Who finds the copy must find the line that tells whose it is.
    try journal.add(entry)
    do {
      entry.copyStamp = try folder.place(partial, at: name, isReplacing: isReplacing)
    } catch let error as FileError {
      // Another run that shares the folder may have been faster.
      guard journal.isShared, !isReplacing,
        case .done(let other, _) = try standing(of: name, for: item, settings: entry.settings)
      else { throw error }
      return other
    }
    try journal.add(entry, isDurable: false)
    return entry
  }

  /// That a file stays as it is.
  package func refusal(_ name: FilePath) -> FileError {
    let place = folder.path.pushing(name)
    guard !journal.lines(of: name).isEmpty else {
      return FileError(
        place,
        "is there already, and no journal says that tsdf made it; it is left as it is: give another output folder")
    }
    return FileError(
      place,
      "was changed since tsdf made it, or made by an earlier version; it is left as it is: move it away to have it made anew"
    )
  }
}
