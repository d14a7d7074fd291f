import Foundation

/// What a journal says of one finished file.
public protocol JournalEntry: Codable, Sendable {
  /// The journal's name in an output folder.
  static var journalName: String { get }
  /// What the file is known by in its journal.
  var key: String { get }
  /// The SHA-256 of what it was made from, and of the settings that it was made under.
  var source: String { get }
  var settings: String { get }
}

/// What has been done in an output folder, one line of JSON a file, so that a second run does only the rest. A line is
/// added after its outputs are in place; a last line cut off by a crash is ignored.
public final class Journal<Entry: JournalEntry> {
  private let url: URL
  private var known: [String: Entry] = [:]

  /// - Parameter folder: the output folder; it need not be there yet.
  public init(folder: URL) {
    url = folder.appendingPathComponent(Entry.journalName)
    let text = (try? String(contentsOf: url, encoding: .utf8)) ?? ""
    for line in text.split(separator: "\n") {
      if let entry = try? JSONDecoder().decode(Entry.self, from: Data(line.utf8)) { known[entry.key] = entry }
    }
  }

  /// The last entry of every key, in no order.
  public var entries: some Collection<Entry> { known.values }

  /// The last entry of a key.
  public subscript(key: String) -> Entry? { known[key] }

  /// The entry of a file that was made from this source under these settings.
  public func finished(_ key: String, source: String, settings: String) -> Entry? {
    guard let entry = known[key], entry.source == source, entry.settings == settings else { return nil }
    return entry
  }

  /// Writes down that a file is finished.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  public func add(_ entry: Entry) throws {
    known[entry.key] = entry
    var line = Data((try canonicalJSON(entry) + "\n").utf8)
    do {
      if !FileManager.default.fileExists(atPath: url.path) {
        try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data().write(to: url)
      }
      let handle = try FileHandle(forUpdating: url)
      defer { try? handle.close() }
      let end = try handle.seekToEnd()
      if end > 0 {
        // A line that a crash cut off must not take this one with it.
        try handle.seek(toOffset: end - 1)
        if try handle.read(upToCount: 1) != Data("\n".utf8) { line = Data("\n".utf8) + line }
      }
      try handle.write(contentsOf: line)
    } catch {
      throw FileError(url.path, "cannot be written (\(plainReason(error)))")
    }
  }

  /// Puts these entries, in this order, in place of all that there were.
  /// - Throws: `FileError` naming the journal when it cannot be written.
  public func rewrite(_ entries: [Entry]) throws {
    try writeAtomically(Data(try entries.map { try canonicalJSON($0) + "\n" }.joined().utf8), to: url)
    known = Dictionary(entries.map { ($0.key, $0) }) { $1 }
  }
}

@available(*, unavailable)
extension Journal: Sendable {}
