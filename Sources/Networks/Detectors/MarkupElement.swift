import Foundation
import Kernels

/// An element of an XML file: the text and the elements in it.
struct MarkupElement {
  let name: String
  fileprivate(set) var attributes: [String: String] = [:]
  fileprivate(set) var text = ""
  fileprivate(set) var children: [MarkupElement] = []

  /// The first element of a name in it.
  func child(_ name: String) -> MarkupElement? { children.first { $0.name == name } }

  /// The outermost element of a file, which is of numbers and plain words: entities stay as they are written.
  /// - Throws: `FileError` when it is no XML, has declarations of its own, or nests deeper than such files do.
  static func read(_ data: Data, path: String) throws -> MarkupElement {
    var reader = MarkupReader(data, path)
    return try reader.root()
  }
}

/// Reads elements one after another. (Foundation's parser stops the program at names that are not of UTF-8.)
private struct MarkupReader {
  private let bytes: [UInt8]
  private let path: String
  private var place = 0

  private static let greatestDepth = 32

  init(_ data: Data, _ path: String) { (bytes, self.path) = ([UInt8](data), path) }

  mutating func root() throws -> MarkupElement {
    var open: [MarkupElement] = []
    while place < bytes.count {
      if skip("<?") {
        try pass("?>")
      } else if skip("<!--") {
        try pass("-->")
      } else if skip("<!") {
        throw failure("it has declarations of its own")
      } else if skip("</") {
        let name = taken { $0 == UInt8(ascii: ">") || Self.isSpace($0) }
        skipSpace()
        guard skip(">"), let element = open.popLast(), element.name == name else {
          throw failure("it ends \(name), which is not what was begun last")
        }
        if open.isEmpty { return element }
        open[open.count - 1].children.append(element)
      } else if skip("<") {
        let (element, isEmpty) = try begun()
        if !isEmpty {
          open.append(element)
        } else if open.isEmpty {
          return element
        } else {
          open[open.count - 1].children.append(element)
        }
        guard open.count <= Self.greatestDepth else {
          throw failure("it nests elements more than \(Self.greatestDepth) deep")
        }
      } else {
        let text = taken { $0 == UInt8(ascii: "<") }
        if !open.isEmpty { open[open.count - 1].text += text }
      }
    }
    throw failure("it ends within an element, or has none")
  }

  /// What begins behind a `<`, with its attributes; whether it ends there too.
  private mutating func begun() throws -> (element: MarkupElement, isEmpty: Bool) {
    func isEnd(_ byte: UInt8) -> Bool { Self.isSpace(byte) || "/>=<\"'".utf8.contains(byte) }
    var element = MarkupElement(name: taken(until: isEnd))
    guard !element.name.isEmpty else { throw failure("an element has no name") }
    while true {
      skipSpace()
      if skip("/>") { return (element, true) }
      if skip(">") { return (element, false) }
      let name = taken(until: isEnd)
      skipSpace()
      guard !name.isEmpty, skip("=") else { throw failure("\(element.name) has what is no attribute") }
      skipSpace()
      guard let quote = place < bytes.count ? bytes[place] : nil, "\"'".utf8.contains(quote) else {
        throw failure("an attribute of \(element.name) has no quotes")
      }
      place += 1
      element.attributes[name] = taken { $0 == quote }
      guard place < bytes.count else { throw failure("it ends within an element") }
      place += 1
    }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || (9...13).contains(byte) }

  private mutating func skipSpace() { while place < bytes.count, Self.isSpace(bytes[place]) { place += 1 } }

  /// Whether a word comes next, which then is passed.
  private mutating func skip(_ word: StaticString) -> Bool {
    let count = word.utf8CodeUnitCount
    guard place + count <= bytes.count, (0..<count).allSatisfy({ bytes[place + $0] == word.utf8Start[$0] }) else {
      return false
    }
    place += count
    return true
  }

  /// Goes on behind the next such word.
  private mutating func pass(_ word: StaticString) throws {
    while !skip(word) {
      guard place < bytes.count else { throw failure("it ends within a comment or an instruction") }
      place += 1
    }
  }

  /// What comes before a byte of a kind, or before the end.
  private mutating func taken(until isEnd: (UInt8) -> Bool) -> String {
    let start = place
    while place < bytes.count, !isEnd(bytes[place]) { place += 1 }
    return String(decoding: bytes[start..<place], as: UTF8.self)
  }

  private func failure(_ reason: String) -> FileError {
    let line = bytes.prefix(place).count { $0 == UInt8(ascii: "\n") } + 1
    return FileError(path, "is no XML that can be read: in line \(line) \(reason)")
  }
}
