import Foundation
import Synchronization
import SystemPackage

/// What a journal says of one finished file.
package protocol JournalEntry: Codable, Sendable {
  /// The journal's name in an output folder.
  static var journalName: String { get }
  /// The property that lines have the key's text under; no other has this name, in nested objects neither.
  static var keyField: String { get }
  /// What the file is known by in its journal.
  var key: FilePath { get }
}

/// The same of a file that another run need not make again.
package protocol SourcedEntry: JournalEntry {
  /// The SHA-256 of what it was made from, and of the settings that it was made under.
  var source: String { get }
  var settings: String { get }
}

/// What has been done in an output folder, one line of JSON a file, so that a second run does only the rest. A line is on disk
/// before the outputs that it speaks of are put in place: what lies there and is in no line, no run made. A line that a crash cut
/// off, or that was damaged since, costs what it said and nothing else. The journal is locked as long as it is open. Shards of a run
/// write to a file each and may do so at once; all read what any of them said.
package final class Journal<Entry: JournalEntry>: Sendable {
  /// A file and what it says.
  private struct Part {
    var file: FileDescriptor
    var index: JournalIndex<Entry>

    init(_ file: FileDescriptor) throws {
      self.file = file
      index = try JournalIndex(of: file)
    }

    mutating func lines(of key: FilePath) -> [Entry] { index.entries(of: key, in: file) }
  }

  private struct State {
    var own: Part
    /// What others wrote, as it was when it was last looked at.
    var others: [Part] = []
    var endsInNewline: Bool

    init(_ file: FileDescriptor) throws {
      own = try Part(file)
      endsInNewline = own.index.endsInNewline
    }
  }

  private let folder: OutputFolder
  private let files: JournalFiles
  /// Which of the files this one writes to.
  private let name: FilePath
  private let common: FileDescriptor?
  private let state: Mutex<State>
  /// Lines that could not be read, of those that were looked at and those that say not even what they are about.
  package var damagedLineCount: Int {
    state.withLock { state in ([state.own] + state.others).reduce(0) { $0 + $1.index.damagedLineCount } }
  }
  /// Whether other runs may write beside this one.
  package var isShared: Bool { common != nil }

  /// Opens the journal of a folder, or begins it.
  /// - Parameters:
  ///   - shard: which part of a run this is: others may be at work beside it. A run without shards works alone in the folder.
  ///   - waiting: called again and again as long as another process keeps this one out; it may throw to give up.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  package init(in folder: OutputFolder, shard: Shard? = nil, waiting: () throws -> Void = {}) throws {
    let files = JournalFiles(folder: folder.descriptor, path: folder.path, name: FilePath(Entry.journalName))
    let name = shard.map(files.name(of:)) ?? files.name
    (self.folder, self.files, self.name) = (folder, files, name)
    let opened = try Self.attempt(folder, name) { try files.open(shard, waiting: waiting) }
    common = opened.common
    state = Mutex(try Self.attempt(folder, name) { try State(opened.file) })
    try refresh()
  }

  deinit {
    state.withLock { state in for part in [state.own] + state.others { try? part.file.close() } }
    try? common?.close()
  }

  private static func attempt<R>(_ folder: OutputFolder, _ name: FilePath, _ body: () throws -> R) throws -> R {
    do {
      return try body()
    } catch let error as Errno {
      let reason = error == .tooManySymbolicLinkLevels ? "it is a symbolic link, and none is followed" : "\(error)"
      throw FileError(folder.path.appending(name.components), "cannot be written (\(reason))")
    }
  }

  private func attempt<R>(_ body: () throws -> R) throws -> R { try Self.attempt(folder, name, body) }

  /// Takes in what others have written since.
  /// - Throws: `FileError` naming the journal when the folder cannot be read.
  package func refresh() throws {
    let found = try attempt {
      try files.parts(besides: name).map { try Part($0) }
    }
    state.withLock {
      for part in $0.others { try? part.file.close() }
      $0.others = found
    }
  }

  /// All that every line says, in the order of the file.
  package var entries: [Entry] {
    state.withLock { state in (state.others + [state.own]).flatMap { $0.index.entries(in: $0.file) } }
  }

  /// All that was said of a key, the last word last.
  package func lines(of key: FilePath) -> [Entry] {
    state.withLock { state in
      state.others.indices.flatMap { state.others[$0].lines(of: key) } + state.own.lines(of: key)
    }
  }

  /// The last entry of a key.
  package subscript(key: FilePath) -> Entry? { lines(of: key).last }

  /// Writes a line.
  /// - Parameter isDurable: whether to wait until it is on disk.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  package func add(_ entry: Entry, isDurable: Bool = true) throws {
    let line = Data((try canonicalJSON(entry) + "\n").utf8)
    try attempt {
      let file = try state.withLock { state in
        // A line that a crash or a full disk cut off must not take this one with it.
        let text = state.endsInNewline ? line : Data("\n".utf8) + line
        state.endsInNewline = false
        try state.own.file.writeAll(text)
        state.endsInNewline = true
        let end = try state.own.file.seek(offset: 0, from: .current)
        line.dropLast().withUnsafeBytes { state.own.index.add($0, at: UInt64(end) - UInt64(line.count)) }
        return state.own.file
      }
      if isDurable { try file.synchronize() }
    }
  }

  /// Puts these entries, in this order, in place of all that there were: the last thing that a run does with a journal. Not
  /// for shards, which have no journal to themselves.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  package func rewrite(_ entries: [Entry]) throws {
    let data = Data(try entries.map { try canonicalJSON($0) + "\n" }.joined().utf8)
    try folder.write(data, to: name)
    try attempt {
      let new = try State(openRegular(name, in: folder.descriptor))
      state.withLock {
        try? $0.own.file.close()
        $0 = new
      }
    }
  }
}

extension Journal where Entry: SourcedEntry {
  /// The entry of a file that was made from this source under these settings.
  package func finished(_ key: FilePath, source: String, settings: String) -> Entry? {
    guard let entry = self[key], entry.source == source, entry.settings == settings else { return nil }
    return entry
  }
}

/// The journal of a folder that this run does not write to, those of shards included.
package final class JournalReader<Entry: JournalEntry> {
  private var parts: [(file: FileDescriptor, index: JournalIndex<Entry>)] = []

  /// nil where there is none that can be read.
  package init?(in folder: FilePath) {
    guard let opened = try? FileDescriptor.open(folder, .readOnly, options: [.directory, .closeOnExec]) else {
      return nil
    }
    defer { try? opened.close() }
    let name = FilePath(Entry.journalName)
    for file in (try? JournalFiles(folder: opened, path: folder, name: name).parts()) ?? [] {
      if let index = try? JournalIndex<Entry>(of: file) { parts.append((file, index)) } else { try? file.close() }
    }
    if parts.isEmpty { return nil }
  }

  deinit { for part in parts { try? part.file.close() } }

  /// All that was said of a key, the last word last.
  package func lines(of key: FilePath) -> [Entry] {
    parts.indices.flatMap { parts[$0].index.entries(of: key, in: parts[$0].file) }
  }
}

@available(*, unavailable)
extension JournalReader: Sendable {}
