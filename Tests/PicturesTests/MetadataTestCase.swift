import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// What tests of metadata share: a camera's EXIF data, packets, and how many pictures a file holds.
class MetadataTestCase: XCTestCase {
  let types: [ImageType] = [.jpeg, .png, .webp, .tiff, .heic, .avif]
  /// What no copy may show: the photo before, as previews and second pictures have it.
  let unprotected = try! ImageFile(encodePNG(gradient(24, 24)), path: "preview").encoded(as: .jpeg)

  func read(_ data: Data) throws -> ImageFile { try ImageFile(data, path: "picture") }

  func xmp(_ properties: String) -> [UInt8] {
    Array(
      """
      http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
      <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" \
      xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/" xmlns:GImage="http://ns.google.com/photos/1.0/image/" \
      xmlns:own="http://example.org/own/">\
      <dc:creator><rdf:Seq><rdf:li>Ada Photographer</rdf:li></rdf:Seq></dc:creator>\(properties)</rdf:Description></rdf:RDF></x:xmpmeta>
      """.utf8)
  }

  /// Photoshop's resources: IPTC data with a caption, and whatever else.
  func resources(
    _ more: [(id: Int, data: [UInt8])] = [], caption: [UInt8] = Array("A caption of the press".utf8)
  ) -> [UInt8] {
    func resource(_ id: Int, _ data: [UInt8]) -> [UInt8] {
      Array("8BIM".utf8) + [
        UInt8(id >> 8), UInt8(id & 255), 0, 0, 0, 0, UInt8(data.count >> 8), UInt8(data.count & 255),
      ] + data
        + (data.count % 2 == 1 ? [0] : [])
    }
    return Array("Photoshop 3.0\0".utf8) + more.flatMap { resource($0.id, $0.data) }
      + resource(0x404, [0x1c, 2, 120, UInt8(caption.count >> 8), UInt8(caption.count & 255)] + caption)
  }

  let camera: [Int: TIFFValue] = [
    0x10f: .ascii("Maker of cameras"), 0x112: .short([6]), 0x11a: .rational([(240, 1)]), 0x11b: .rational([(240, 1)]),
    0x128: .short([2]),
    0x8769: .directories([[0x9003: .ascii("2026:11:26 12:00:00"), 0x829a: .rational([(1, 125)])]]),
    0x8825: .directories([[1: .ascii("N"), 2: .rational([(52, 1), (31, 1), (0, 1)])]]),
  ]

  func number(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }

  /// How many whole pictures lie anywhere in a file, in base 64 too: the file itself is one.
  func pictures(in data: Data) -> Int {
    let bytes = [UInt8](data)
    var count = 0
    for start in bytes.indices
    where [0xff, 0x89, 0x47, 0x52].contains(bytes[start]) || start == 0
      || bytes[start...].dropFirst(4).prefix(4).elementsEqual(Array("ftyp".utf8))
    {
      guard let type = ImageType(bytes[start..<min(start + 32, bytes.count)]), type != .bmp else { continue }
      if type == .jpeg, bytes.count > start + 2, bytes[start + 2] != 0xff { continue }
      if (try? ImageFile(Data(bytes[start...]), path: "part")) != nil { count += 1 }
    }
    for text in String(decoding: bytes.map { $0 < 128 ? $0 : 0 }, as: UTF8.self).split(whereSeparator: {
      !($0.isASCII && ($0.isLetter || $0.isNumber || "+/=".contains($0)))
    })
    where text.count > 200 {
      if let inner = Data(base64Encoded: String(text)), (try? ImageFile(inner, path: "text")) != nil { count += 1 }
    }
    return count
  }
}
