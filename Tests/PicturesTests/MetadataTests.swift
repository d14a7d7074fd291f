import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// What a copy keeps of all that a file says.
final class MetadataTests: MetadataTestCase {
  /// A JPEG with everything that a copy keeps.
  private func photo() throws -> Data {
    // Another gamut than sRGB's becomes a profile.
    let wide = [0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06].flatMap { number(UInt32($0 * 100_000)) }
    var png = inserting(chunk: "cHRM", wide, into: try encodePNG(gradient()))
    png = inserting(chunk: "pHYs", number(11811) + number(11811) + [1], into: png)
    var jpeg = try read(png).encoded(as: .jpeg)
    jpeg = inserting(segment: 0xfe, Array("A comment".utf8), into: jpeg)
    jpeg = inserting(segment: 0xed, resources(), into: jpeg)
    jpeg = inserting(segment: 0xe1, xmp("<own:note>A property of nobody's</own:note>"), into: jpeg)
    return inserting(segment: 0xe1, Array("Exif\0\0".utf8) + tiff([camera], bigEndian: true), into: jpeg)
  }

  /// Through each type and back to each other: what the file says goes along.
  func testMetadataGoFromEachTypeToEach() throws {
    let first = try read(photo())
    XCTAssertEqual(first.profile.isEmpty, false)
    for through in types {
      let between = try read(first.encoded(as: through))
      // HEIC and AVIF are turned when they are read, so these say what our own writer left.
      for type in types {
        let data = try between.encoded(as: type)
        let copy = try read(data)
        let name = "\(through), then \(type)"
        XCTAssertEqual(copy.profile, first.profile, name)
        XCTAssertNotNil(copy.exif.range(of: Data("Maker of cameras".utf8)), name)
        XCTAssertNotNil(copy.exif.range(of: Data("2026:11:26 12:00:00".utf8)), name)
        XCTAssertNotNil(copy.xmp.range(of: Data("Ada Photographer".utf8)), name)
        XCTAssertNotNil(
          copy.xmp.range(of: Data("A property of nobody&apos;s".utf8))
            ?? copy.xmp.range(of: Data("A property of nobody's".utf8)), name)
        XCTAssertNotNil(data.range(of: Data("A caption of the press".utf8)), name)
        let comment = Data("A comment".utf8)
        let utf16 = Data("A comment".utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] })
        let swapped = Data("A comment".utf16.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] })
        XCTAssertTrue([comment, utf16, swapped].contains { data.range(of: $0) != nil }, name)
      }
    }
  }

  /// A copy says that it is protected, in each type, through each other, and until it is told not to.
  func testMarkOfProtection() throws {
    let bare = try read(encodePNG(gradient()))
    for first in [bare, try read(photo())] {
      XCTAssertFalse(first.isMarkedProtected)
      var marked = first
      marked.isMarkedProtected = true
      for through in types {
        var between = try read(marked.encoded(as: through))
        XCTAssertTrue(between.isMarkedProtected, "\(through)")
        let text = Data("<tsdf:ProtectedBy>tsdf \(tsdfVersion)</tsdf:ProtectedBy>".utf8)
        let attribute = Data("tsdf:ProtectedBy=\"tsdf \(tsdfVersion)\"".utf8)
        XCTAssertTrue([text, attribute].contains { between.xmp.range(of: $0) != nil }, "\(through)")
        XCTAssertEqual(
          between.xmp.range(of: Data("Ada Photographer".utf8)) != nil, !first.xmp.isEmpty, "\(through): the rest stays")
        for type in types {
          XCTAssertTrue(try read(between.encoded(as: type)).isMarkedProtected, "\(through), \(type)")
        }
        between.isMarkedProtected = false
        XCTAssertFalse(try read(between.encoded(as: through)).isMarkedProtected, "\(through)")
      }
      marked.isMarkedProtected = false
      XCTAssertEqual(try marked.encoded(as: .png), try first.encoded(as: .png))
    }
  }

  /// Metadata that just fit into a JPEG file are not given up for the mark.
  func testMarkLeavesRoomForTheRest() throws {
    func packed(_ count: Int) throws -> ImageFile {
      let note = String(repeating: "A note. ", count: count / 8)
      let packet = xmp("<own:note>\(note)</own:note>").dropFirst(29)
      return try read(
        inserting(chunk: "iTXt", Array("XML:com.adobe.xmp\0\0\0\0\0".utf8) + packet, into: encodePNG(gradient())))
    }
    for (count, isMarked) in [(60_000, true), (64_960, false)] {
      var full = try packed(count)
      XCTAssertGreaterThan(full.xmp.count, count)
      full.isMarkedProtected = true
      let copy = try read(full.encoded(as: .jpeg))
      XCTAssertEqual(copy.isMarkedProtected, isMarked)
      XCTAssertGreaterThan(copy.xmp.count, count)
    }
  }

  func testDensityIsKept() throws {
    let photo = try read(photo())
    let png = try photo.encoded(as: .png)
    let chunk = try XCTUnwrap(png.range(of: Data("pHYs".utf8)))
    XCTAssertEqual([UInt8](png[chunk.upperBound..<chunk.upperBound + 9]), number(11811) + number(11811) + [1])
    let jpeg = try read(png).encoded(as: .jpeg)
    let head = try XCTUnwrap(jpeg.range(of: Data("JFIF\0".utf8))).upperBound
    XCTAssertEqual([UInt8](jpeg[head + 2..<head + 7]), [1, 1, 44, 1, 44])
    // Where the type has no place for it, the EXIF data have.
    let bare = try read(inserting(chunk: "pHYs", number(11811) + number(11811) + [1], into: encodePNG(gradient())))
    XCTAssertTrue(bare.exif.isEmpty)
    XCTAssertFalse(try read(bare.encoded(as: .webp)).exif.isEmpty)
  }

  func testOrientationIsTheFirstDirectorys() throws {
    let jpeg = try read(encodePNG(gradient())).encoded(as: .jpeg)
    for bigEndian in [false, true] {
      func orientation(_ directories: [[Int: TIFFValue]]) throws -> Int {
        try read(inserting(segment: 0xe1, Array("Exif\0\0".utf8) + tiff(directories, bigEndian: bigEndian), into: jpeg))
          .orientation
      }
      XCTAssertEqual(try orientation([[0x10f: .ascii("M")], [0x112: .short([6])]]), 1)
      XCTAssertEqual(try orientation([[0x112: .short([8])], [0x112: .short([6])]]), 8)
      XCTAssertEqual(try orientation([[0x112: .short([9])]]), 1)
    }
  }

  /// Chunks that a WebP file's head does not announce, as some writers leave it.
  func testUnannouncedChunksOfWebP() throws {
    var webp = try read(photo()).encoded(as: .webp)
    let head = try XCTUnwrap(webp.range(of: Data("VP8X".utf8))).lowerBound + 8
    XCTAssertEqual(webp[head] & 0x2c, 0x2c)
    webp[head] &= ~0x0c
    let file = try read(webp)
    XCTAssertEqual(file.orientation, 6)
    XCTAssertNotNil(file.exif.range(of: Data("Maker of cameras".utf8)))
    XCTAssertNotNil(file.xmp.range(of: Data("Ada Photographer".utf8)))
    XCTAssertFalse(file.profile.isEmpty)
    // Viewers show it without a profile that is not announced.
    webp[head] = 0
    XCTAssertTrue(try read(webp).profile.isEmpty)
  }

  /// What a packet cannot hold is said to be left out.
  func testExtendedXMPIsSaid() throws {
    var jpeg = try read(encodePNG(gradient())).encoded(as: .jpeg)
    let segment = Array("http://ns.adobe.com/xmp/extension/\0".utf8) + [UInt8](repeating: 65, count: 40)
    jpeg = inserting(segment: 0xe1, segment + Array("<x:xmpmeta/>".utf8), into: jpeg)
    jpeg = inserting(segment: 0xe1, xmp(""), into: jpeg)
    let file = try read(jpeg)
    XCTAssertTrue(file.notes.contains { $0.contains("XMP data of more than 64 KiB") }, "\(file.notes)")
    XCTAssertNotNil(file.xmp.range(of: Data("Ada Photographer".utf8)))
  }

  /// Text chunks behind the pixels count too.
  func testTextsOfPNGsAreKept() throws {
    let png = try encodePNG(gradient())
    let film =
      png.dropLast(12) + pngChunk("tEXt", Array("Author\0J\u{f6}rg".unicodeScalars.map { UInt8($0.value) }))
      + png.suffix(12)
    let copy = try read(film).encoded(as: .png)
    XCTAssertNotNil(copy.range(of: Data("Author".utf8)))
    XCTAssertNotNil(copy.range(of: Data("Jörg".utf8)), "in UTF-8")
    XCTAssertNotNil(try read(copy).encoded(as: .png).range(of: Data("Jörg".utf8)))
  }

  /// Thousands of comments and compressed texts, and such that do not unpack: time in proportion, memory within a limit.
  func testManyOrHugeMetadata() throws {
    let plain = try read(encodePNG(gradient())).encoded(as: .jpeg)
    func commented(_ count: Int) -> Data {
      plain.prefix(2)
        + Data([UInt8](repeating: 0, count: count).flatMap { _ in [0xff, 0xfe, 0, 4, 65, 66] as [UInt8] })
        + plain.dropFirst(2)
    }
    func time(_ body: () throws -> Void) rethrows -> Double {
      let start = Date()
      try body()
      return Date().timeIntervalSince(start)
    }
    XCTAssertLessThan(try time { _ = try read(commented(100_000)).encoded(as: .jpeg) }, 10)
    XCTAssertGreaterThan(try read(commented(200_000)).encoded(as: .png).count, 200_000 * 20)
    // More properties beside each other than XMP's toolkit reads in time; items of a list are no such.
    func packet(_ properties: String) -> [UInt8] { Array(xmp(properties).dropFirst(29)) }
    let properties = packet((0..<30_000).map { "<own:n\($0)>v</own:n\($0)>" }.joined())
    let list = packet(
      "<own:list><rdf:Bag>\(String(repeating: "<rdf:li>v</rdf:li>", count: 30_000))</rdf:Bag></own:list>")
    for (body, leftOut) in [(properties, LeftOut.metadata), (list, LeftOut())] {
      let png = inserting(
        chunk: "iTXt", Array("XML:com.adobe.xmp\0\0\0\0\0".utf8) + body, into: try encodePNG(gradient()))
      XCTAssertEqual(try read(png).leftOut, leftOut)
    }
    // A gigabyte of zeros would be a megabyte: three hundred such.
    let zeros = try encodePNG(
      Image(width: 60_000, height: 100, channels: 1, bytes: [UInt8](repeating: 0, count: 6_000_000)))
    let start = try XCTUnwrap(zeros.range(of: Data("IDAT".utf8))).upperBound
    let packed = [UInt8](zeros[start..<zeros.count - 16])
    var png = try encodePNG(gradient())
    for i in 0..<300 { png = inserting(chunk: "zTXt", Array("k\(i)\0\0".utf8) + packed, into: png) }
    let file = try read(png)
    XCTAssertFalse(file.notes.isEmpty, "said")
    XCTAssertLessThan(try file.encoded(as: .png).count, 1 << 20)
  }
}
