import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// TIFF files as scanners and presses make them, written by hand.
final class TIFFTests: XCTestCase {
  private func read(_ data: Data) throws -> ImageFile { try ImageFile(data, path: "picture") }

  /// One list of files and what is read of each.
  func testScannersTIFFs() throws {
    let grey: [UInt8] = (0..<32).map { UInt8($0 * 8) }
    func page(_ tags: [Int: TIFFValue], bits: [Int] = [8], photometric: Int = 1, blocks: [[UInt8]]) -> [Int: TIFFValue]
    {
      var page: [Int: TIFFValue] = [
        256: .long([8]), 257: .long([4]), 258: .short(bits), 259: .short([1]), 262: .short([photometric]),
        273: .blocks(blocks), 277: .short([bits.count]), 278: .long([4]), 279: .long(blocks.map(\.count)),
      ]
      page.merge(tags) { $1 }
      return page
    }
    for bigEndian in [false, true] {
      func image(_ page: [Int: TIFFValue]) throws -> Image { try read(Data(tiff([page], bigEndian: bigEndian))).image }
      XCTAssertEqual(try image(page([:], blocks: [grey])).bytes, grey)
      XCTAssertEqual(try image(page([:], photometric: 0, blocks: [grey])).bytes, grey.map { 255 - $0 })
      // Strips of one row.
      let rows = (0..<4).map { Array(grey[8 * $0..<8 * $0 + 8]) }
      XCTAssertEqual(try image(page([278: .long([1])], blocks: rows)).bytes, grey)
      // 16 bits, in the file's byte order.
      let wide = (0..<32).map { $0 * 2000 + 7 }
      let wideBytes = wide.flatMap {
        bigEndian ? [UInt8($0 >> 8), UInt8($0 & 255)] : [UInt8($0 & 255), UInt8($0 >> 8)]
      }
      let deep = try image(page([:], bits: [16], blocks: [wideBytes]))
      XCTAssertEqual(deep.bitDepth, 16)
      XCTAssertEqual(deep.bytes.withUnsafeBytes { $0.bindMemory(to: UInt16.self).map { Int($0) } }, wide)
      // Colours, interleaved and in planes.
      let rgb = grey.flatMap { [$0, 255 - $0, $0 / 2] }
      XCTAssertEqual(try image(page([:], bits: [8, 8, 8], photometric: 2, blocks: [rgb])).bytes, rgb)
      let planes = (0..<3).map { c in (0..<32).map { rgb[3 * $0 + c] } }
      XCTAssertEqual(
        try image(page([284: .short([2])], bits: [8, 8, 8], photometric: 2, blocks: planes)).bytes, rgb)
      // A tile of 16x16, of which the picture is a corner.
      var tile = [UInt8](repeating: 9, count: 256)
      for i in 0..<32 { tile[i / 8 * 16 + i % 8] = grey[i] }
      var tiled = page([322: .short([16]), 323: .short([16]), 324: .blocks([tile]), 325: .long([256])], blocks: [])
      for tag in [273, 278, 279] { tiled[tag] = nil }
      XCTAssertEqual(try image(tiled).bytes, grey)
      // A palette, and one bit a pixel.
      let palette = (0..<3).flatMap { c in (0..<256).map { $0 * 257 * (c == 1 ? 0 : 1) } }
      XCTAssertEqual(
        try image(page([320: .short(palette)], photometric: 3, blocks: [grey])).bytes, grey.flatMap { [$0, 0, $0] })
      let bits = try image(page([:], bits: [1], blocks: [[0xf0, 0x0f, 0xaa, 0x80]]))
      XCTAssertEqual(bits.channels, 1)
      XCTAssertEqual(Array(bits.bytes.prefix(16)), [255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255])
      // Inks without a profile: each swallows its share.
      let inks = try read(
        Data(
          tiff(
            [page([:], bits: [8, 8, 8, 8], photometric: 5, blocks: [grey.flatMap { [$0, 0, 255, 0] }])],
            bigEndian: bigEndian)))
      XCTAssertEqual(inks.image.bytes, grey.flatMap { [255 - $0, 255, 0] })
      XCTAssertTrue(inks.notes.contains { $0.contains("CMYK") })
      // Colours multiplied by their alpha.
      let premultiplied = try image(
        page([338: .short([1])], bits: [8, 8, 8, 8], photometric: 2, blocks: [grey.flatMap { [$0 / 2, 0, 0, 128] }]))
      XCTAssertEqual(premultiplied.channels, 4)
      XCTAssertEqual(Int(premultiplied.bytes[4 * 20]), 80 * 255 / 128, accuracy: 1)
    }
    let pages = try read(Data(tiff([page([:], blocks: [grey]), page([:], blocks: [grey])])))
    XCTAssertEqual(pages.leftOut, .pages)
    let turned = try read(Data(tiff([page([274: .short([6])], blocks: [grey])])))
    XCTAssertEqual(turned.orientation, 6)
    XCTAssertEqual(try read(turned.encoded(as: .tiff)).orientation, 6)
    // A small picture or a mask before the picture, which alone is one all the same.
    let other = page([:], blocks: [grey.map { 255 - $0 }])
    for kind in [1, 4] {
      let first = other.merging([254: .long([kind])]) { $1 }
      let file = try read(Data(tiff([first, page([254: .long([0])], blocks: [grey])])))
      XCTAssertEqual(file.image.bytes, grey)
      XCTAssertEqual(file.leftOut, .thumbnail)
      XCTAssertEqual(try read(Data(tiff([first]))).image.bytes, grey.map { 255 - $0 })
    }
    // A camera's: what is below the preview, or of a colour filter array.
    let below = page([254: .long([1]), 330: .directories([page([:], blocks: [grey])])], blocks: [grey])
    XCTAssertThrowsError(try read(Data(tiff([below]))))
    let filtered = [page([254: .long([1])], blocks: [grey]), page([:], photometric: 32803, blocks: [grey])]
    XCTAssertThrowsError(try read(Data(tiff(filtered)))) {
      XCTAssertTrue("\($0)".contains("raw file"), "\($0)")
    }
    for (bits, format, words) in [([32], 3, "floating-point"), ([16], 2, "signed")] {
      let page = page([339: .short([format])], bits: bits, blocks: [[UInt8](repeating: 0, count: 128)])
      XCTAssertThrowsError(try read(Data(tiff([page])))) {
        XCTAssertTrue("\($0)".contains("\(words) numbers of \(bits[0]) bits"), "\($0)")
      }
    }
  }

  /// Samples of any number of bits lie one after the other, each row from a whole byte on.
  func testSamplesOfAnyNumberOfBits() throws {
    for bits in 1...16 {
      for channels in [1, 3] {
        let most = (1 << bits) - 1
        let values = (0..<3 * 5 * channels).map { $0 * 7919 % (most + 1) }
        var rows: [UInt8] = []
        for row in values.chunked(5 * channels) {
          var packed = row.flatMap { value in (0..<bits).reversed().map { value >> $0 & 1 } }
          packed += [Int](repeating: 0, count: (8 - packed.count % 8) % 8)
          rows += packed.chunked(8).map { UInt8($0.reduce(0) { $0 << 1 | $1 }) }
        }
        let page: [Int: TIFFValue] = [
          256: .long([5]), 257: .long([3]), 258: .short([Int](repeating: bits, count: channels)), 259: .short([1]),
          262: .short([channels == 1 ? 1 : 2]), 273: .blocks([rows]), 277: .short([channels]), 278: .long([3]),
          279: .long([rows.count]),
        ]
        // 16 bits are numbers in the file's order.
        let image = try read(Data(tiff([page], bigEndian: true))).image
        XCTAssertEqual(image.channels, channels)
        XCTAssertEqual(image.bitDepth, bits > 8 ? 16 : 8)
        let peak = bits > 8 ? 65535 : 255
        let found =
          bits > 8
          ? image.bytes.withUnsafeBytes { $0.bindMemory(to: UInt16.self).map { Int($0) } } : image.bytes.map { Int($0) }
        XCTAssertEqual(found, values.map { ($0 * peak + most / 2) / most }, "\(bits) bits, \(channels) channels")
      }
    }
  }

  /// Lab of D50 as TIFF and as ICC store it; what has no colour gets none. (The values are those of CIE 15 and IEC 61966-2-1.)
  func testLab() throws {
    func page(_ photometric: Int, _ bits: Int, _ bytes: [UInt8]) -> Data {
      Data(
        tiff([
          [
            256: .long([3]), 257: .long([1]), 258: .short([bits, bits, bits]), 259: .short([1]),
            262: .short([photometric]), 273: .blocks([bytes]), 277: .short([3]), 278: .long([1]),
            279: .long([bytes.count]),
          ]
        ]))
    }
    func wide(_ values: [Int]) -> [UInt8] { values.flatMap { [UInt8($0 & 255), UInt8($0 >> 8 & 255)] } }
    // Lightness 50 and 100 without colour; the red of sRGB is (54.29, 80.81, 69.89).
    let files = [
      page(8, 8, [128, 0, 0, 255, 0, 0, 138, 81, 70]), page(9, 8, [128, 128, 128, 255, 128, 128, 138, 209, 198]),
      page(8, 16, wide([32768, 0, 0, 65535, 0, 0, 35578, 20687, 17892])),
      page(9, 16, wide([32640, 32768, 32768, 65280, 32768, 32768, 35439, 53455, 50660])),
    ]
    for (index, data) in files.enumerated() {
      let file = try read(data)
      XCTAssertTrue(file.notes.contains { $0.contains("Lab") })
      XCTAssertTrue(file.profile.isEmpty)
      XCTAssertEqual(file.image.bitDepth, index < 2 ? 8 : 16)
      let samples = file.image.planes().map { ($0 + 1) * 127.5 }
      for (pixel, right) in [[119, 119, 119], [255, 255, 255], [255, 0, 0]].enumerated() {
        for c in 0..<3 { XCTAssertEqual(samples[3 * c + pixel], Float(right[c]), accuracy: 1.2, "file \(index)") }
      }
      for pixel in 0..<2 {
        XCTAssertEqual(samples[pixel], samples[3 + pixel], accuracy: 0.01)
        XCTAssertEqual(samples[pixel], samples[6 + pixel], accuracy: 0.01)
      }
    }
  }

  /// The metadata of a BigTIFF go along as those of others do.
  func testBigTIFF() throws {
    let grey: [UInt8] = (0..<32).map { UInt8($0 * 8) }
    let packet = """
      <x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
      <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="Ada"/></rdf:RDF></x:xmpmeta>
      """
    let caption = Array("A caption of the press".utf8)
    let page: [Int: TIFFValue] = [
      256: .long([8]), 257: .long([4]), 258: .short([8]), 259: .short([1]), 262: .short([1]), 273: .blocks([grey]),
      277: .short([1]), 278: .long([4]), 279: .long([32]), 0x10f: .ascii("Maker of cameras"), 274: .short([6]),
      700: .byte(Array(packet.utf8)), 33723: .undefined([0x1c, 2, 120, 0, UInt8(caption.count)] + caption),
      0x8769: .directories([[0x9003: .ascii("2026:11:26 12:00:00"), 0x829a: .rational([(1, 125)])]]),
    ]
    for bigEndian in [false, true] {
      for isBig in [false, true] {
        let file = try read(Data(tiff([page], bigEndian: bigEndian, isBig: isBig)))
        XCTAssertEqual(file.image.bytes, grey)
        XCTAssertEqual(file.orientation, 6)
        let copy = try file.encoded(as: .jpeg)
        for text in ["Maker of cameras", "2026:11:26 12:00:00", "Ada", "A caption of the press"] {
          XCTAssertNotNil(copy.range(of: Data(text.utf8)), "\(text), big \(isBig), Motorola \(bigEndian)")
        }
        XCTAssertEqual(try read(copy).orientation, 6)
      }
    }
    // One that leads back to itself.
    var bytes = tiff([page], isBig: true)
    let exif = try XCTUnwrap(Data(bytes).range(of: Data([0x69, 0x87, 18, 0]))).lowerBound
    bytes.replaceSubrange(exif + 12..<exif + 20, with: bytes[8..<16])
    XCTAssertEqual(try read(Data(bytes)).image.bytes, grey)
  }

  /// A profile in which cyan ink is a middle grey: what no formula guesses.
  func testInksGoByTheirProfile() throws {
    func number(_ value: Int, _ count: Int = 4) -> [UInt8] {
      (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    func text(_ value: String) -> [UInt8] { Array(value.utf8) }
    let ramp: [UInt8] = Array(0...255)
    var lut: [UInt8] = text("mft1") + number(0) + [4, 3, 2, 0]
    for row in 0..<3 { for column in 0..<3 { lut += number(row == column ? 0x10000 : 0) } }
    for _ in 0..<4 { lut += ramp }
    // Lightness of the sixteen full inks, cyan first and black last.
    for ink in 0..<16 { lut += [ink % 2 == 1 ? 0 : ink >= 8 ? 128 : 255, 128, 128] as [UInt8] }
    for _ in 0..<3 { lut += ramp }
    var profile: [UInt8] = number(144 + lut.count) + number(0) + number(0x0240_0000)
    profile += text("prtrCMYKLab ") + [UInt8](repeating: 0, count: 12) + text("acsp")
    profile += [UInt8](repeating: 0, count: 28) + number(0xf6d6) + number(0x10000) + number(0xd32d)
    profile += [UInt8](repeating: 0, count: 128 - profile.count)
    profile += number(1) + text("A2B0") + number(144) + number(lut.count) + lut
    let pixels: [UInt8] = [0, 0, 0, 0, 255, 0, 0, 0, 0, 255, 255, 0, 9, 9, 9, 255]
    let page: [Int: TIFFValue] = [
      256: .long([4]), 257: .long([1]), 258: .short([8, 8, 8, 8]), 259: .short([1]), 262: .short([5]),
      273: .blocks([pixels]),
      277: .short([4]), 278: .long([1]), 279: .long([16]), 34675: .undefined(profile),
    ]
    let file = try read(Data(tiff([page])))
    XCTAssertEqual(file.image.channels, 3)
    XCTAssertTrue(file.notes.contains { $0.contains("by its profile") }, "\(file.notes)")
    XCTAssertTrue(file.profile.isEmpty, "what is sRGB needs none")
    for (pixel, value) in [255, 119, 255, 0].enumerated() {
      for c in 0..<3 { XCTAssertEqual(Int(file.image.bytes[3 * pixel + c]), value, accuracy: 2) }
    }
  }
}
