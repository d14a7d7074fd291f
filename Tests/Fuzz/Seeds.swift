import Foundation
import Pictures
import TestSupport

/// Writes the first inputs of a reader of pictures or metadata.
func writeSeeds(_ reader: String, to folder: URL) throws {
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  for (number, data) in try seeds(reader).enumerated() {
    try data.write(to: folder.appendingPathComponent("seed-\(number)"))
  }
}

private func seeds(_ reader: String) throws -> [Data] {
  switch reader {
  case "exif": return [false, true].map { Data(exif(bigEndian: $0)) }
  case "xmp": return [Data(xmp.utf8)]
  case "iptc": return [Data(iptc)]
  case "gif": return films()
  case "bmp": return bitmaps()
  default: break
  }
  guard let type = ImageType(rawValue: reader) else { return [] }
  var result = try [(1, 8), (2, 8), (3, 8), (4, 8), (3, 16), (4, 16)].map { channels, depth in
    try photo(channels, depth).encoded(as: type)
  }
  if type == .tiff { result += pages() }
  if type == .jpeg {
    result = result.map { jpeg in
      let marked = inserting(segment: 0xed, Array("Photoshop 3.0\0".utf8) + iptc, into: jpeg)
      return inserting(segment: 0xe1, Array("Exif\0\0".utf8) + exif(bigEndian: true), into: marked) + jpeg
    }
  }
  return result
}

/// A small picture with metadata.
private func photo(_ channels: Int, _ depth: Int) throws -> ImageFile {
  let bytes = (0..<12 * 10 * channels * depth / 8).map { UInt8(truncatingIfNeeded: $0 * 5) }
  let image = Image(width: 12, height: 10, channels: channels, bitDepth: depth, bytes: bytes)
  var png = try inserting(chunk: "eXIf", exif(bigEndian: false), into: encodePNG(image))
  png = inserting(chunk: "tEXt", Array("Comment\0words".utf8), into: png)
  png = inserting(chunk: "iTXt", Array("XML:com.adobe.xmp\0\0\0\0\0".utf8) + Array(xmp.utf8), into: png)
  return try ImageFile(inserting(chunk: "gAMA", [0, 1, 0, 0], into: png), path: "seed")
}

private func exif(bigEndian: Bool) -> [UInt8] {
  let preview: [UInt8] = [0xff, 0xd8, 0xff, 0xd9]
  return tiff(
    [
      [
        0x10f: .ascii("Canon"), 0x112: .short([6]), 0x11a: .rational([(300, 1)]),
        0x8769: .directories([
          [
            0x9003: .ascii("2026:11:26 12:00:00"), 0x9286: .undefined(Array("ASCII\0\0\0words".utf8)),
            0x927c: .undefined([1, 0, 1, 0, 3, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]),
            0xa005: .directories([[1: .ascii("R98")]]),
          ]
        ]), 0x8825: .directories([[1: .ascii("N"), 2: .rational([(52, 1), (31, 1), (0, 1)])]]),
      ], [0x103: .short([6]), 0x201: .blocks([preview]), 0x202: .long([4])],
    ], bigEndian: bigEndian)
}

private let xmp = """
  <x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" \
  xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="3"><dc:title><rdf:Alt><rdf:li \
  xml:lang="x-default">Title</rdf:li></rdf:Alt></dc:title></rdf:Description></rdf:RDF></x:xmpmeta>
  """

private let iptc: [UInt8] =
  Array("8BIM".utf8) + [4, 4, 0, 0, 0, 0, 0, 12, 0x1c, 2, 120, 0, 7] + Array("caption".utf8) + Array("8BIM".utf8) + [
    4, 12, 0, 0, 0, 0, 0, 2, 0, 0,
  ]

private func films() -> [Data] {
  let whole = (left: 0, top: 0, width: 9, height: 5, indices: (0..<45).map { UInt8($0 % 3) })
  let part = (left: 4, top: 2, width: 2, height: 1, indices: [UInt8(1), 2])
  let palette: [[UInt8]] = [[10, 20, 30], [200, 0, 0], [0, 200, 0]]
  return [
    gif(width: 9, height: 5, palette: palette, frames: [whole], comment: "words"),
    gif(width: 9, height: 5, palette: palette, frames: [part, whole], transparent: 2),
  ]
}

private func bitmaps() -> [Data] {
  let palette: [UInt8] = [0, 0, 255, 0, 0, 255, 0, 0]
  let rows = (0..<64).map { UInt8($0) }
  return [
    bmp(width: 3, height: 2, bits: 24, rows: rows), bmp(width: 3, height: -2, bits: 32, rows: rows),
    bmp(width: 9, height: 2, bits: 1, palette: palette, rows: rows),
    bmp(width: 9, height: 2, bits: 4, palette: palette, rows: rows),
    bmp(
      width: 9, height: 2, bits: 16, compression: 3, palette: [0, 0xf8, 0, 0, 0xe0, 7, 0, 0, 0x1f, 0, 0, 0], rows: rows),
    bmp(width: 9, height: 2, bits: 8, compression: 1, palette: palette, rows: [2, 1, 0, 3, 0, 1, 0, 0, 0, 1]),
    bmp(width: 9, height: 2, bits: 4, compression: 2, palette: palette, rows: [2, 1, 0, 3, 0, 1, 0, 2, 1, 0, 0, 1]),
  ]
}

/// Pages in the forms that scanners write.
private func pages() -> [Data] {
  let grey = (0..<32).map { UInt8($0 * 8) }
  let palette = (0..<768).map { $0 * 85 }
  return [(1, [8], 1), (1, [16], 1), (1, [1], 0), (3, [8], 1), (5, [8, 8, 8, 8], 1), (2, [8, 8, 8], 2)].flatMap {
    photometric, bits, planar in
    [false, true].map { bigEndian in
      var page: [Int: TIFFValue] = [
        256: .long([8]), 257: .long([4]), 258: .short(bits), 259: .short([1]), 262: .short([photometric]),
        277: .short([bits.count]),
        278: .long([4]), 284: .short([planar]),
        273: .blocks(Array(repeating: grey + grey + grey + grey, count: planar == 2 ? 3 : 1)),
        279: .long(Array(repeating: 128, count: planar == 2 ? 3 : 1)), 320: .short(palette),
      ]
      if photometric != 3 { page[320] = nil }
      return Data(tiff([page], bigEndian: bigEndian))
    }
  }
}
