import Foundation
import Kernels

/// A list in CelebA's `list_attr` format: the count of images, the names of the attributes, then `FILE v v v ...` with v 1 or
/// -1 (0 counts as -1). Read in one pass, in memory of a small multiple of the file's size.
package struct AttributeList {
  /// The names of the attributes that were asked for, in that order.
  package let attributes: [String]
  /// The images, by their paths below the images' folder.
  package private(set) var files: [String] = []
  /// Whether image i has attribute a: `labels[i * attributes.count + a]`.
  package private(set) var labels: [Bool] = []

  /// A list without images.
  package init(attributes: [String]) { self.attributes = attributes }

  /// - Parameters:
  ///   - file: without spaces.
  ///   - labels: one an attribute.
  package mutating func append(_ file: String, labels: [Bool]) {
    precondition(
      labels.count == attributes.count && !file.utf8.contains { AttributeList.isSpace($0) }, "a line of a list")
    files.append(file)
    self.labels += labels
  }

  /// The list as a file holds it.
  package var text: String {
    var lines = ["\(files.count)", attributes.joined(separator: " ")]
    for (index, file) in files.enumerated() {
      let own = labels[index * attributes.count..<(index + 1) * attributes.count]
      lines.append(file + own.map { $0 ? " 1" : " -1" }.joined())
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// - Parameter selecting: the attributes to keep, in this order; all by default.
  /// - Throws: `FileError` naming the list and the line at fault.
  package init(contentsOf url: URL, selecting: [String]? = nil) throws {
    let file = try MappedFile(url)
    try self.init(file.data, path: url.path, selecting: selecting)
  }

  /// The same of a list's bytes.
  package init(_ data: Data, path: String, selecting: [String]? = nil) throws {
    self = try data.withUnsafeBytes { try AttributeList($0[...], path: path, selecting: selecting) }
  }

  /// A part of a list's bytes: looked at in place, since there may be millions of lines.
  private typealias Bytes = Slice<UnsafeRawBufferPointer>

  private init(_ data: Bytes, path: String, selecting: [String]?) throws {
    var lines = Lines(data)
    guard let first = lines.next(), try Int(Self.text(first, path, 1).trimmingCharacters(in: .whitespaces)) != nil,
      let header = lines.next()
    else { throw FileError(path, "is not a list in CelebA's format (a count, the names, then a line an image)") }
    let headerLine = lines.number
    let names = try Self.fields(header).map { try Self.text($0, path, headerLine) }
    var columns: [String: Int] = [:]
    for (column, name) in names.enumerated() {
      guard columns.updateValue(column, forKey: name) == nil else {
        throw FileError(path, "line \(headerLine) names the attribute \(name) twice")
      }
    }
    attributes = selecting ?? names
    let chosen = try attributes.map { name in
      guard let column = columns[name] else {
        let some = names.prefix(50).joined(separator: ", ")
        throw FileError(path, "has no attribute \(name); it has \(some)\(names.count > 50 ? ", ..." : "")")
      }
      return column
    }
    var values = [Bool](repeating: false, count: names.count)
    while let line = lines.next() {
      var fields = Self.fields(line).makeIterator()
      guard let name = fields.next() else { continue }
      var count = 0
      while let field = fields.next() {
        guard count < values.count, let value = Self.value(field) else { throw malformed(lines.number) }
        values[count] = value
        count += 1
      }
      guard count == values.count else { throw malformed(lines.number) }
      files.append(try Self.fileName(name, path, lines.number))
      for column in chosen { labels.append(values[column]) }
    }
    guard !files.isEmpty else { throw FileError(path, "lists no image") }

    func malformed(_ line: Int) -> FileError {
      FileError(path, "line \(line) does not hold a file and \(names.count) values of 1 or -1")
    }
  }

  /// The lines of a text that hold something, without what ends them.
  private struct Lines {
    private let data: Bytes
    private var position: Int
    /// Of the line that `next` returned last, from 1.
    private(set) var number = 0

    init(_ data: Bytes) {
      self.data = data
      // A byte order mark, as some editors write.
      position = data.starts(with: [0xef, 0xbb, 0xbf]) ? data.startIndex + 3 : data.startIndex
    }

    mutating func next() -> Bytes? {
      while position < data.endIndex {
        let end = data[position...].firstIndex { $0 == 10 || $0 == 13 } ?? data.endIndex
        let line = data[position..<end]
        position = end
        if position < data.endIndex {
          // CR LF is one end.
          position += data[position] == 13 && position + 1 < data.endIndex && data[position + 1] == 10 ? 2 : 1
        }
        number += 1
        if line.contains(where: { !AttributeList.isSpace($0) }) { return line }
      }
      return nil
    }
  }

  private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 }

  private static func fields(_ line: Bytes) -> [Bytes] { line.split(whereSeparator: isSpace) }

  private static func value(_ field: Bytes) -> Bool? {
    if field.elementsEqual("1".utf8) { return true }
    return field.elementsEqual("-1".utf8) || field.elementsEqual("0".utf8) ? false : nil
  }

  private static func text(_ bytes: Bytes, _ path: String, _ line: Int) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw FileError(path, "line \(line) is not UTF-8")
    }
    return text
  }

  private static func fileName(_ bytes: Bytes, _ path: String, _ line: Int) throws -> String {
    let name = try text(bytes, path, line)
    guard !name.hasPrefix("/"), !name.split(separator: "/").contains("..") else {
      throw FileError(path, "line \(line) names a file outside of the images' folder: \(name)")
    }
    return name
  }
}
