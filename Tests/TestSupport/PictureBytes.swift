import Foundation

/// A value of a TIFF directory.
public indirect enum TIFFValue {
  case byte([UInt8])
  case ascii(String)
  case short([Int])
  case long([Int])
  case rational([(Int, Int)])
  case undefined([UInt8])
  /// Offsets of blocks that lie elsewhere in the file.
  case blocks([[UInt8]])
  /// The offsets of further directories.
  case directories([[Int: TIFFValue]])
}

/// A TIFF file, or EXIF data, of directories that follow each other.
/// - Parameter isBig: whether it is a BigTIFF, whose counts and offsets have 8 bytes.
public func tiff(_ directories: [[Int: TIFFValue]], bigEndian: Bool = false, isBig: Bool = false) -> [UInt8] {
  let width = isBig ? 8 : 4
  func number(_ value: Int, _ count: Int) -> [UInt8] {
    let bytes = (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    return bigEndian ? bytes.reversed() : bytes
  }
  var file = Array((bigEndian ? "MM" : "II").utf8)
  file += isBig ? number(43, 2) + number(8, 2) + number(0, 2) + number(0, 8) : number(42, 2) + number(0, 4)
  /// Appends a block at an even place; where it lies.
  func append(_ bytes: [UInt8]) -> Int {
    if file.count % 2 == 1 { file.append(0) }
    file += bytes
    return file.count - bytes.count
  }
  /// Appends a directory; where it lies, and where the offset of the next is to be written.
  func append(directory: [Int: TIFFValue]) -> (start: Int, next: Int) {
    var entries: [UInt8] = []
    for (tag, value) in directory.sorted(by: { $0.key < $1.key }) {
      let (type, size, bytes): (Int, Int, [UInt8])
      switch value {
      case .byte(let v): (type, size, bytes) = (1, 1, v)
      case .ascii(let v): (type, size, bytes) = (2, 1, Array(v.utf8) + [0])
      case .short(let v): (type, size, bytes) = (3, 2, v.flatMap { number($0, 2) })
      case .long(let v): (type, size, bytes) = (4, 4, v.flatMap { number($0, 4) })
      case .rational(let v): (type, size, bytes) = (5, 8, v.flatMap { number($0.0, 4) + number($0.1, 4) })
      case .undefined(let v): (type, size, bytes) = (7, 1, v)
      case .blocks(let v): (type, size, bytes) = (4, 4, v.flatMap { number(append($0), 4) })
      case .directories(let v):
        (type, size) = (isBig ? 18 : 4, width)
        bytes = v.flatMap { number(append(directory: $0).start, width) }
      }
      entries += number(tag, 2) + number(type, 2) + number(bytes.count / size, width)
      entries +=
        bytes.count <= width
        ? bytes + [UInt8](repeating: 0, count: width - bytes.count) : number(append(bytes), width)
    }
    let start = append(number(directory.count, isBig ? 8 : 2) + entries + number(0, width))
    return (start, file.count - width)
  }
  var link = isBig ? 8 : 4
  for directory in directories {
    let (start, next) = append(directory: directory)
    file.replaceSubrange(link..<link + width, with: number(start, width))
    link = next
  }
  return file
}

/// A JPEG file with a segment more, right after its start.
public func inserting(segment marker: UInt8, _ body: [UInt8], into jpeg: Data) -> Data {
  let length = body.count + 2
  return jpeg.prefix(2) + Data([0xff, marker, UInt8(length >> 8), UInt8(length & 255)] + body) + jpeg.dropFirst(2)
}

/// A PNG chunk with its checksum (ISO 3309).
public func pngChunk(_ type: String, _ body: [UInt8]) -> Data {
  let bytes = Array(type.utf8) + body
  let sum = bytes.reduce(UInt32.max) { sum, byte in
    (0..<8).reduce(sum ^ UInt32(byte)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
  }
  func number(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
  return Data(number(UInt32(body.count)) + bytes + number(~sum))
}

/// A PNG file with a chunk more, right after its header.
public func inserting(chunk type: String, _ body: [UInt8], into png: Data) -> Data {
  png.prefix(33) + pngChunk(type, body) + png.dropFirst(33)
}

/// A GIF file of frames of palette indices, not compressed: each code of nine bits is followed by others anew.
/// - Parameters:
///   - transparent: the index that is none.
///   - extensions: whole blocks before the first frame.
public func gif(
  width: Int, height: Int, palette: [[UInt8]],
  frames: [(left: Int, top: Int, width: Int, height: Int, indices: [UInt8])],
  transparent: UInt8? = nil, comment: String? = nil, extensions: [UInt8] = []
) -> Data {
  func short(_ value: Int) -> [UInt8] { [UInt8(value & 255), UInt8(value >> 8)] }
  func blocks(_ bytes: [UInt8]) -> [UInt8] {
    stride(from: 0, to: bytes.count, by: 255).flatMap { start in
      let part = bytes[start..<min(start + 255, bytes.count)]
      return [UInt8(part.count)] + part
    } + [0]
  }
  var file = Array("GIF89a".utf8) + short(width) + short(height) + [0xf7, 0, 0]
  file += (0..<256).flatMap { $0 < palette.count ? palette[$0] : [0, 0, 0] }
  if let comment { file += [0x21, 0xfe] + blocks(Array(comment.utf8)) }
  file += extensions
  for frame in frames {
    if let transparent { file += [0x21, 0xf9, 4, 1, 10, 0, transparent, 0] }
    file += [0x2c] + short(frame.left) + short(frame.top) + short(frame.width) + short(frame.height) + [0, 8]
    var (bits, count, codes) = (0, 0, [UInt8]())
    func put(_ code: Int) {
      bits |= code << count
      count += 9
      while count >= 8 {
        codes.append(UInt8(bits & 255))
        (bits, count) = (bits >> 8, count - 8)
      }
    }
    for (i, index) in frame.indices.enumerated() {
      // Before the table grows to ten bits.
      if i % 100 == 0 { put(256) }
      put(Int(index))
    }
    put(257)
    codes.append(UInt8(bits & 255))
    file += blocks(codes)
  }
  return Data(file + [0x3b])
}

/// A Windows bitmap with a header of 40 bytes and what follows it: palette or masks, then rows.
public func bmp(width: Int, height: Int, bits: Int, compression: Int = 0, palette: [UInt8] = [], rows: [UInt8]) -> Data
{
  func number(_ value: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }
  let start = 54 + palette.count
  let head = Array("BM".utf8) + number(start + rows.count, 4) + number(0, 4) + number(start, 4)
  let info = number(40, 4) + number(width, 4) + number(height, 4) + number(1, 2) + number(bits, 2)
  let colors = bits <= 8 ? palette.count / 4 : 0
  return Data(
    head + info + number(compression, 4) + number(rows.count, 4) + number(2835, 4) + number(2835, 4) + number(colors, 4)
      + number(0, 4) + palette + rows)
}

/// An AVIF file of 16 x 16 pixels with 10 bits a sample, which no encoder here writes: all of (200, 100, 50) in 8.
public let avifOf10Bits = Data(
  base64Encoded: """
    AAAAIGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZk1BMUIAAADybWV0YQAAAAAAAAAoaGRscgAAAAAAAAAAcGljdAAAAAAAAAAA\
    AAAAAGxpYmF2aWYAAAAADnBpdG0AAAAAAAEAAAAeaWxvYwAAAABEAAABAAEAAAABAAABGgAAAB8AAAAoaWluZgAAAAAAAQAA\
    ABppbmZlAgAAAAABAABhdjAxQ29sb3IAAAAAamlwcnAAAABLaXBjbwAAABRpc3BlAAAAAAAAABAAAAAQAAAAEHBpeGkAAAAA\
    AwoKCgAAAAxhdjFDgQBMAAAAABNjb2xybmNseAABAA0ABoAAAAAXaXBtYQAAAAAAAAABAAEEAQKDBAAAACdtZGF0EgAKCRgM\
    /9igIaDQgDIQFkAJJJJEAAB2jeU6fuCzQA==
    """)!
