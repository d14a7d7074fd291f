import Foundation
import Synchronization
import SystemPackage

/// What a journal says of one finished file.
public protocol JournalEntry: Codable, Sendable {
  /// The journal's name in an output folder.
  static var journalName: String { get }
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
    /// All that was ever said of each key, the last word last.
    var lines: [FilePath: [Entry]] = [:]
    var endsInNewline = true
  }

  private let folder: OutputFolder
  private let state: Mutex<State>
  /// Lines that could not be read when the journal was opened.
  public let damagedLineCount: Int

  /// Opens the journal of a folder, or begins it.
  /// - Parameter waiting: called again and again as long as another process has the journal open; it may throw to give up.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  public init(in folder: OutputFolder, waiting: () throws -> Void = {}) throws {
    self.folder = folder
    var state = State(file: try Self.openLocked(in: folder, waiting: waiting))
    let data = try Self.attempt(folder) { try state.file.contents() }
    (state.lines, damagedLineCount) = Self.parse(data)
    state.endsInNewline = data.isEmpty || data.last == UInt8(ascii: "\n")
    self.state = Mutex(state)
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

  /// What the lines of a journal's file say of each key, the last word last, and how many of them cannot be read.
  static func parse(_ data: Data) -> (lines: [FilePath: [Entry]], damaged: Int) {
    var (lines, damaged, decoder) = ([FilePath: [Entry]](), 0, JSONDecoder())
    for line in data.split(separator: UInt8(ascii: "\n")) where line != Data("\r".utf8) {
      if let entry = try? decoder.decode(Entry.self, from: Data(line)) {
        lines[entry.key, default: []].append(entry)
      } else {
        damaged += 1
      }
    }
    return (lines, damaged)
  }

  /// What the journal of a folder says of each key, the last word last; nothing where there is none.
  public static func lines(in folder: FilePath) -> [FilePath: [Entry]] {
    (try? contents(of: folder.appending(Entry.journalName))).map { parse($0).lines } ?? [:]
  }

  /// All entries, of each key the last word last.
  public var lines: [FilePath: [Entry]] { state.withLock { $0.lines } }

  /// All that was said of a key, the last word last.
  public func lines(of key: FilePath) -> [Entry] { state.withLock { $0.lines[key] ?? [] } }

  /// The last entry of a key.
  public subscript(key: FilePath) -> Entry? { state.withLock { $0.lines[key]?.last } }

  /// Writes a line.
  /// - Parameter isDurable: whether to wait until it is on disk.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  public func add(_ entry: Entry, isDurable: Bool = true) throws {
    let line = Data((try canonicalJSON(entry) + "\n").utf8)
    try Self.attempt(folder) {
      let file = try state.withLock {
        // A line that a crash or a full disk cut off must not take this one with it.
        let text = $0.endsInNewline ? line : Data("\n".utf8) + line
        $0.endsInNewline = false
        try $0.file.writeAll(text)
        $0.endsInNewline = true
        $0.lines[entry.key, default: []].append(entry)
        return $0.file
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
    state.withLock {
      $0.lines = Dictionary(grouping: entries, by: \.key)
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
