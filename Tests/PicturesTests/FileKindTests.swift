import Foundation
import Pictures
import TestSupport
import XCTest

final class FileKindTests: XCTestCase {
  private func bytes(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }

  /// The start of a file of the ISO base media formats.
  private func media(_ brand: String, _ others: String...) -> [UInt8] {
    [0, 0, 0, UInt8(16 + 4 * others.count)] + bytes("ftyp" + brand) + [0, 0, 0, 0] + bytes(others.joined())
  }

  /// A TIFF file's first directory of short and long values.
  private func tiff(_ entries: [(tag: UInt16, value: UInt32)], isLittle: Bool = true) -> [UInt8] {
    func number(_ value: UInt32, _ count: Int) -> [UInt8] {
      let little = (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt32($0))) }
      return isLittle ? little : little.reversed()
    }
    return bytes(isLittle ? "II" : "MM") + number(42, 2) + number(8, 4) + number(UInt32(entries.count), 2)
      + entries.flatMap { number(UInt32($0.tag), 2) + number(4, 2) + number(1, 4) + number($0.value, 4) }
  }

  func testKindsByContents() throws {
    let image = Image(width: 1, height: 1, channels: 3, bytes: [1, 2, 3])
    for (head, kind) in [
      (Array(try encodePNG(image)), FileKind.png), ([0xff, 0xd8, 0xff, 0xe1], .jpeg),
      (bytes("RIFF....WEBPVP8 "), .webp),
      (bytes("RIFF....WAVEfmt "), .audio), (bytes("RIFF....AVI LIST"), .video), (bytes("GIF89a"), .gif),
      (bytes("BM\u{36}\0\0\0\0\0\0\0\u{36}\0\0\0"), .bmp), (bytes("BMs are machines, not pictures"), .text),
      (tiff([(0x100, 4), (0x101, 4)]), .tiff), (tiff([(0x100, 4)], isLittle: false), .tiff),
      (tiff([(0xFE, 1), (0x14A, 99)]), .cameraRaw), (tiff([(0xFE, 0), (0x14A, 99)]), .tiff),
      (tiff([(0x100, 1), (0xC612, 1)], isLittle: false), .cameraRaw), (bytes("II*\0\u{10}\0\0\0CR"), .cameraRaw),
      (bytes("FUJIFILMCCD-RAW 0201"), .cameraRaw), (media("crx ", "crx ", "isom"), .cameraRaw),
      (media("heic", "mif1", "heic"), .heic), (media("mif1", "heic"), .heic), (media("avif", "mif1"), .avif),
      (media("mif1", "avif", "miaf"), .avif), (media("isom", "mp42"), .video), (media("qt  "), .video),
      (media("M4A "), .audio),
      ([0xff, 0x0a, 0], .jpegXL), (bytes("\0\0\0\u{0c}jP  \r\n"), .jpeg2000), (bytes("8BPS\0\u{1}"), .photoshop),
      ([0, 5, 0x16, 7, 0, 2, 0, 0], .appleDouble), (bytes("%PDF-1.4"), .pdf), (bytes("PK\u{3}\u{4}"), .archive),
      ([], .empty), (bytes("words, words\n"), .text), (Array("Grüße".utf8), .text), ([7, 1, 2, 0], .other),
      (bytes("P6\n4 4\n255\n...."), .netpbm), (bytes("P5 4 4 255 ...."), .netpbm), (bytes("P7\nWIDTH 4\n"), .netpbm),
      (bytes("Pf\n4 4\n-1.0\n"), .netpbm), (bytes("P2P networks"), .text), (bytes("P1 of the text"), .text),
      ([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 30, 0, 24, 0x20], .targa),
      ([5, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 30, 0, 32, 8], .targa),
      ([0, 1, 1, 0, 0, 0, 1, 24, 0, 0, 0, 0, 40, 0, 30, 0, 8, 0], .targa),
      ([0, 0, 2, 0, 1, 0, 32, 32, 0, 0, 1, 0, 1, 0, 30, 0, 24, 0], .icon), ([0, 0, 1, 0, 1, 0, 16, 16], .icon),
      ([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 30, 0, 24, 0x20], .other),
      ([10, 5, 1, 8, 0, 0, 0, 0, 39, 0, 29, 0] + [UInt8](repeating: 0, count: 116), .pcx),
      ([0x76, 0x2f, 0x31, 1, 2, 0, 0, 0], .openEXR), (bytes("#?RADIANCE\nFORMAT="), .radiance),
      (bytes("qoif\0\0\0\u{28}"), .qoi),
      (bytes("DDS |\0\0\0"), .directDraw), ([1, 0xda, 1, 1, 0, 3, 0, 40, 0, 30, 0, 3, 0, 0], .sgi),
      (bytes("SDPX\0\0"), .dpx),
      (bytes("SIMPLE  =                    T"), .fits), (bytes("farbfeld\0\0\0\u{28}"), .farbfeld),
      (bytes("gimp xcf v011\0"), .xcf),
      (bytes("II\u{bc}\u{1}"), .jpegXR), (bytes("%!PS-Adobe-3.0 EPSF-3.0"), .vectorGraphics),
      (bytes("<?xml version=\"1.0\"?>\n<!-- a -->\n<svg xmlns=\"http://www.w3.org/2000/svg\">"), .vectorGraphics),
      (bytes("<svg:svg xmlns:svg=\"http://www.w3.org/2000/svg\">"), .vectorGraphics),
      (bytes("<p>an svg is no <b>photo</b></p>"), .text),
      ([0xe9, 0x20, 0x41, 0x42, 0x43, 0x44], .other),
    ] {
      XCTAssertEqual(FileKind(head: head), kind, String(decoding: head, as: UTF8.self))
    }
    for kind in [FileKind.png, .heic, .cameraRaw, .photoshop, .targa, .xcf] { XCTAssertTrue(kind.isPicture, kind.name) }
    for kind in [FileKind.icon, .vectorGraphics, .video, .text, .other] { XCTAssertFalse(kind.isPicture, kind.name) }
    // Any beginning has a kind.
    for length in 0..<64 {
      for head in [media("mif1", "avif", "miaf"), tiff([(0xFE, 1), (0x14A, 99)]), bytes("RIFF....WEBP")] {
        _ = FileKind(head: head.prefix(length))
      }
    }
  }
}
