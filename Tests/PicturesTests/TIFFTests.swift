import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// TIFF files as scanners and presses make them, written by hand.
final class TIFFTests: XCTestCase {
  private func read(_ data: Data) throws -> ImageFile { try ImageFile(data, path: "picture") }

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
    XCTAssertThrowsError(try read(Data(tiff([page([254: .long([1])], blocks: [grey])])))) {
      XCTAssertTrue("\($0)".contains("raw file"), "\($0)")
    }
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
