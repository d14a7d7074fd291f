import Foundation
import Kernels

/// The entries of a zip archive whose contents are stored, not compressed, as PyTorch writes them.
struct StoredZip {
  /// Stored entries by name.
  let entries: [String: Data]
  /// The names of those that are not read.
  let compressed: Set<String>

  init(_ data: Data, path: String) throws {
    func number(_ at: Int, _ count: Int) throws -> Int {
      guard at >= 0, at <= data.count - count else { throw FileError(path, "is a truncated zip file") }
      let value = (0..<count).reduce(0) { $0 | Int(data[data.startIndex + at + $1]) << (8 * $1) }
      // Places and sizes stay small enough to be added up.
      guard (0..<1 << 48).contains(value) else { throw FileError(path, "has a damaged zip directory") }
      return value
    }
    // The end record is within 64 KiB + 22 bytes of the end; the directory's place may be in the 64-bit record before it.
    let window = max(0, data.count - 65_557)
    guard
      let end = stride(from: data.count - 22, through: window, by: -1).first(where: {
        (try? number($0, 4)) == 0x0605_4b50
      })
    else { throw FileError(path, "is a truncated zip file") }
    var (count, at) = (try number(end + 10, 2), try number(end + 16, 4))
    if at == 0xffff_ffff || count == 0xffff {
      let record = try number(end - 20 + 8, 8)
      (count, at) = (try number(record + 32, 8), try number(record + 48, 8))
    }
    var entries: [String: Data] = [:]
    var compressed: Set<String> = []
    // Each entry moves on by 46 bytes at least, so that there are no more than the file has room for.
    for _ in 0..<count {
      guard try number(at, 4) == 0x0201_4b50 else { throw FileError(path, "has a damaged zip directory") }
      let (method, nameLength, extraLength) = (try number(at + 10, 2), try number(at + 28, 2), try number(at + 30, 2))
      var (size, header) = (try number(at + 24, 4), try number(at + 42, 4))
      var packed = try number(at + 20, 4)
      // Fields too large for 32 bits follow in the 64-bit extra field, in this order.
      var extra = at + 46 + nameLength
      while extra + 4 <= at + 46 + nameLength + extraLength {
        if try number(extra, 2) == 1 {
          var field = extra + 4
          if size == 0xffff_ffff { (size, field) = (try number(field, 8), field + 8) }
          if packed == 0xffff_ffff { (packed, field) = (try number(field, 8), field + 8) }
          if header == 0xffff_ffff { header = try number(field, 8) }
        }
        extra += 4 + (try number(extra + 2, 2))
      }
      guard at + 46 + nameLength <= data.count else { throw FileError(path, "is a truncated zip file") }
      let name = String(
        decoding: data[data.startIndex + at + 46..<data.startIndex + at + 46 + nameLength], as: UTF8.self)
      let start = header + 30 + (try number(header + 26, 2)) + (try number(header + 28, 2))
      guard start <= data.count, (method == 0 ? size : packed) <= data.count - start else {
        throw FileError(path, "is truncated: \(name) is incomplete")
      }
      at += 46 + nameLength + extraLength + (try number(at + 32, 2))
      guard method == 0 else {
        compressed.insert(name)
        continue
      }
      guard entries.updateValue(data[data.startIndex + start..<data.startIndex + start + size], forKey: name) == nil
      else { throw FileError(path, "has two entries named \(name)") }
    }
    (self.entries, self.compressed) = (entries, compressed)
  }
}
