import Foundation
import Synchronization
import SystemPackage

/// What a journal says of one finished file.
public protocol JournalEntry: Codable, Sendable {
  /// The journal's name in an output folder.
  static var journalName: String { get }
  /// The property that lines have the key's text under; no other has this name, in nested objects neither.
  static var keyField: String { get }
  /// What the file is known by in its journal.
  var key: FilePath { get }
}

/// The same of a file that another run need not make again.
public protocol SourcedEntry: JournalEntry {
  /// The SHA-256 of what it was made from, and of the settings that it was made under.
  var source: String { get }
  var settings: String { get }
}

/// What has been done in an output folder, one line of JSON a file, so that a second run does only the rest. A line is on disk
/// before the outputs that it speaks of are put in place: what lies there and is in no line, no run made. A line that a crash cut
/// off, or that was damaged since, costs what it said and nothing else. The journal is locked as long as it is open.
public final class Journal<Entry: JournalEntry>: Sendable {
  private struct State {
    var file: FileDescriptor
    var index: JournalIndex<Entry>
    var endsInNewline: Bool

    init(_ file: FileDescriptor) throws {
      self.file = file
      index = try JournalIndex(of: file)
      endsInNewline = index.endsInNewline
    }
  }

  private let folder: OutputFolder
  private let state: Mutex<State>
  /// Lines that could not be read, of those that were looked at and those that say not even what they are about.
  public var damagedLineCount: Int { state.withLock { $0.index.damagedLineCount } }

  /// Opens the journal of a folder, or begins it.
  /// - Parameter waiting: called again and again as long as another process has the journal open; it may throw to give up.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  public init(in folder: OutputFolder, waiting: () throws -> Void = {}) throws {
    self.folder = folder
    let file = try Self.openLocked(in: folder, waiting: waiting)
    state = Mutex(try Self.attempt(folder) { try State(file) })
  }

  deinit { state.withLock { try? $0.file.close() } }

  private static func attempt<R>(_ folder: OutputFolder, _ body: () throws -> R) throws -> R {
    do {
      return try body()
    } catch let error as Errno {
      let reason = error == .tooManySymbolicLinkLevels ? "it is a symbolic link, and none is followed" : "\(error)"
      throw FileError(folder.path.appending(Entry.journalName), "cannot be written (\(reason))")
    }
  }

  private static func openLocked(in folder: OutputFolder, waiting: () throws -> Void) throws -> FileDescriptor {
    try attempt(folder) {
      while true {
        let options = O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
        let opened = openat(folder.descriptor.rawValue, Entry.journalName, options, 0o666)
        guard opened >= 0 else { throw Errno(rawValue: errno) }
        let file = FileDescriptor(rawValue: opened)
        do {
          guard try Stat(file).type == .regular else {
            throw FileError(folder.path.appending(Entry.journalName), "is not a regular file")
          }
          // A file system without locks goes without.
          while flock(opened, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK {
            try waiting()
            usleep(100_000)
          }
          // The one that had it may have put a new one in its place.
          let current = try? Stat(FilePath(Entry.journalName), relativeTo: folder.descriptor, flags: .symlinkNoFollow)
          if current?.inode == (try Stat(file).inode) { return file }
        } catch {
          try? file.close()
          throw error
        }
        try? file.close()
      }
    }
  }

  /// All that every line says, in the order of the file.
  public var entries: [Entry] { state.withLock { $0.index.entries(in: $0.file) } }

  /// All that was said of a key, the last word last.
  public func lines(of key: FilePath) -> [Entry] { state.withLock { $0.index.entries(of: key, in: $0.file) } }

  /// The last entry of a key.
  public subscript(key: FilePath) -> Entry? { lines(of: key).last }

  /// Writes a line.
  /// - Parameter isDurable: whether to wait until it is on disk.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  public func add(_ entry: Entry, isDurable: Bool = true) throws {
    let line = Data((try canonicalJSON(entry) + "\n").utf8)
    try Self.attempt(folder) {
      let file = try state.withLock { state in
        // A line that a crash or a full disk cut off must not take this one with it.
        let text = state.endsInNewline ? line : Data("\n".utf8) + line
        state.endsInNewline = false
        try state.file.writeAll(text)
        state.endsInNewline = true
        let end = try state.file.seek(offset: 0, from: .current)
        line.dropLast().withUnsafeBytes { state.index.add($0, at: UInt64(end) - UInt64(line.count)) }
        return state.file
      }
      if isDurable { try file.synchronize() }
    }
  }

  /// Puts these entries, in this order, in place of all that there were: the last thing that a run does with a journal.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  public func rewrite(_ entries: [Entry]) throws {
    let name = FilePath(Entry.journalName)
    let data = Data(try entries.map { try canonicalJSON($0) + "\n" }.joined().utf8)
    try folder.write(data, to: name)
    try Self.attempt(folder) {
      let new = try State(openRegular(name, in: folder.descriptor))
      state.withLock {
        try? $0.file.close()
        $0 = new
      }
    }
  }
}

extension Journal where Entry: SourcedEntry {
  /// The entry of a file that was made from this source under these settings.
  public func finished(_ key: FilePath, source: String, settings: String) -> Entry? {
    guard let entry = self[key], entry.source == source, entry.settings == settings else { return nil }
    return entry
  }
}

/// The journal of a folder that this run does not write to.
public final class JournalReader<Entry: JournalEntry> {
  private let file: FileDescriptor
  private var index: JournalIndex<Entry>

  /// nil where there is none that can be read.
  public init?(in folder: FilePath) {
    guard let file = try? openRegular(folder.appending(Entry.journalName)) else { return nil }
    self.file = file
    guard let index = try? JournalIndex<Entry>(of: file) else {
      try? file.close()
      return nil
    }
    self.index = index
  }

  deinit { try? file.close() }

  /// All that was said of a key, the last word last.
  public func lines(of key: FilePath) -> [Entry] { index.entries(of: key, in: file) }
}

@available(*, unavailable)
extension JournalReader: Sendable {}
