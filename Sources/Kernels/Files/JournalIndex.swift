import Foundation
import SystemPackage

/// Where the lines of a journal are, by what each speaks of. It takes some forty bytes a line, however long lines are: they are read
/// when somebody asks for them.
struct JournalIndex<Entry: JournalEntry> {
  /// No line is longer; what is, is none.
  private static var longestLine: Int { 16 << 20 }

  private var places: [JournalPlace] = []
  /// The last line of each key's hash.
  private var last: [UInt64: UInt32] = [:]
  /// What keys stand behind: no text in a line can have these bytes, for its quotes are escaped.
  private let field = Array("\"\(Entry.keyField)\":\"".utf8)
  /// Where it was in the last line, and before that elsewhere: a file's two lines differ.
  private var usualStarts = (0, 0)
  /// Lines that speak of nothing.
  private(set) var damagedLineCount = 0
  /// Whether the last line is whole.
  private(set) var endsInNewline = true

  init() {}

  /// Finds the lines of a file.
  init(of file: FileDescriptor) throws {
    // A line has some 600 bytes.
    let count = min(Int(try Stat(file).size) / 500, 1 << 26)
    places.reserveCapacity(count)
    last.reserveCapacity(count / 2)
    var (rest, start, isTooLong) = ([UInt8](), UInt64(0), false)
    func finish(_ line: UnsafeRawBufferPointer, _ index: inout Self) {
      if isTooLong { index.damagedLineCount += 1 } else { index.add(line, at: start) }
      isTooLong = false
    }
    try file.forEachPiece { piece in
      var piece = piece
      while let end = piece.first("\n") {
        let line = UnsafeRawBufferPointer(rebasing: piece[..<end])
        let before = rest.count
        if before > 0 {
          rest.append(contentsOf: line)
          rest.withUnsafeBytes { finish($0, &self) }
          rest.removeAll(keepingCapacity: true)
        } else {
          finish(line, &self)
        }
        start += UInt64(before + end + 1)
        piece = UnsafeRawBufferPointer(rebasing: piece[(end + 1)...])
      }
      rest.append(contentsOf: piece)
      if rest.count > Self.longestLine {
        isTooLong = true
        start += UInt64(rest.count)
        rest.removeAll()
      }
    }
    endsInNewline = rest.isEmpty && !isTooLong
    if !endsInNewline { rest.withUnsafeBytes { finish($0, &self) } }
  }

  /// Takes in a line that begins at a place of the file.
  mutating func add(_ line: UnsafeRawBufferPointer, at start: UInt64) {
    let line = line.last == UInt8(ascii: "\r") ? UnsafeRawBufferPointer(rebasing: line.dropLast()) : line
    guard !line.isEmpty else { return }
    guard let hash = quickHash(of: line) ?? Self.entry(line).map({ Self.hash($0.key) }) else {
      damagedLineCount += 1
      return
    }
    let previous = last.updateValue(UInt32(places.count), forKey: hash) ?? noPlace
    places.append(JournalPlace(start: start, count: UInt32(line.count), previous: previous))
  }

  /// All that was said of a key, the last word last. Lines that cannot be read are left out, and counted.
  mutating func entries(of key: FilePath, in file: FileDescriptor) -> [Entry] {
    var (found, next) = ([Entry](), last[Self.hash(key)] ?? noPlace)
    while next != noPlace {
      let place = places[Int(next)]
      if let entry = read(place, in: file) {
        if entry.key == key { found.append(entry) }
      } else {
        damagedLineCount += 1
      }
      next = place.previous
    }
    return found.reversed()
  }

  /// What every line says, in the order of the file.
  func entries(in file: FileDescriptor) -> [Entry] { places.compactMap { read($0, in: file) } }

  private func read(_ place: JournalPlace, in file: FileDescriptor) -> Entry? {
    withUnsafeTemporaryAllocation(byteCount: Int(place.count), alignment: 1) { buffer in
      guard (try? file.read(fromAbsoluteOffset: Int64(place.start), into: buffer)) == buffer.count else { return nil }
      return Self.entry(UnsafeRawBufferPointer(buffer))
    }
  }

  private static func entry(_ line: UnsafeRawBufferPointer) -> Entry? {
    try? JSONDecoder().decode(Entry.self, from: Data(line))
  }

  // MARK: Keys

  /// The hash of the key of a line that is as runs write them, without decoding it; nil for any other.
  private mutating func quickHash(of line: UnsafeRawBufferPointer) -> UInt64? {
    guard line.first == UInt8(ascii: "{"), line.last == UInt8(ascii: "}") else { return nil }
    guard let start = fieldStart(in: line) else { return nil }
    let value = UnsafeRawBufferPointer(rebasing: line[(start + field.count)...])
    guard let end = value.first("\"") else { return nil }
    let key = UnsafeRawBufferPointer(rebasing: value[..<end])
    return key.first("\\") == nil ? Self.hash(key) : nil
  }

  /// Where the field begins.
  private mutating func fieldStart(in line: UnsafeRawBufferPointer) -> Int? {
    if has(field, in: line, at: usualStarts.0) { return usualStarts.0 }
    usualStarts = (usualStarts.1, usualStarts.0)
    if has(field, in: line, at: usualStarts.0) { return usualStarts.0 }
    var at = 0
    while let found = UnsafeRawBufferPointer(rebasing: line[at...]).first("\"") {
      at += found
      if has(field, in: line, at: at) {
        usualStarts.0 = at
        return at
      }
      at += 1
    }
    return nil
  }

  private func has(_ pattern: [UInt8], in bytes: UnsafeRawBufferPointer, at start: Int) -> Bool {
    start + pattern.count <= bytes.count && memcmp(bytes.baseAddress! + start, pattern, pattern.count) == 0
  }

  /// FNV-1a.
  private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var result: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { result = (result ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return result
  }

  private static func hash(_ key: FilePath) -> UInt64 { key.bytes.withUnsafeBytes(hash) }
}

/// A line's place in the file, and the line before it of the same hash. Outside of the generic type, for which each line would look its
/// type up.
private struct JournalPlace {
  var start: UInt64, count: UInt32, previous: UInt32
}

private let noPlace = UInt32.max

extension UnsafeRawBufferPointer {
  /// Where a character first is.
  fileprivate func first(_ character: Unicode.Scalar) -> Int? {
    guard let baseAddress, let found = memchr(baseAddress, Int32(character.value), count) else { return nil }
    return UnsafeRawPointer(found) - baseAddress
  }
}
