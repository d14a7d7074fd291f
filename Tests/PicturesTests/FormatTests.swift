import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// Smooth colours, all different.
func gradient(_ width: Int = 40, _ height: Int = 24, channels: Int = 3, bitDepth: Int = 8) -> Image {
  var bytes: [UInt8] = []
  for y in 0..<height {
    for x in 0..<width {
      for c in 0..<channels {
        let isAlpha = channels == 4 && c == 3 || channels == 2 && c == 1
        let value = isAlpha ? (x < 8 ? 0 : 200 + y) : [40 + 3 * x, 60 + 5 * y, 200 - 2 * x - y][c]
        bytes += bitDepth == 8 ? [UInt8(value & 255)] : [UInt8((value * 7 + c) & 255), UInt8(value & 255)]
      }
    }
  }
  return Image(width: width, height: height, channels: channels, bitDepth: bitDepth, bytes: bytes)
}

/// The mean absolute difference of two pictures' samples.
func meanDifference(_ a: Image, _ b: Image) -> Double {
  guard a.bytes.count == b.bytes.count else { return .infinity }
  let (p, q) = (a.planes(), b.planes())
  return zip(p, q).reduce(0.0) { $0 + Double(abs($1.0 - $1.1)) } / Double(p.count) * 127.5
}

/// Each type that is read: right values, in each of the forms that cameras, scanners, phones and sites write.
final class FormatTests: XCTestCase {
  private func read(_ data: Data) throws -> ImageFile { try ImageFile(data, path: "picture") }

  func testTypesAreToldByContent() throws {
    for type in ImageType.allCases where type.copyType == type {
      let data = try read(encodePNG(gradient())).encoded(as: type)
      XCTAssertEqual(ImageType(data), type)
      XCTAssertEqual(try read(data).type, type)
    }
    XCTAssertNil(ImageType(Data("<html>".utf8)))
    XCTAssertNil(ImageType(Data([0xff])))
  }

  /// All types that Debian's libraries write, in every form of samples.
  func testEachTypeIsWrittenInItsOwnType() throws {
    XCTAssertEqual(Set(ImageType.allCases.filter { $0.copyType == $0 }), [.jpeg, .png, .webp, .tiff, .heic, .avif])
    XCTAssertEqual([ImageType.gif, .bmp].map(\.copyType), [.png, .png])
    for (channels, depth) in [(1, 8), (2, 8), (3, 8), (4, 8), (1, 16), (2, 16), (3, 16), (4, 16)] {
      let image = gradient(channels: channels, bitDepth: depth)
      let file = try read(encodePNG(image))
      for type in [ImageType.jpeg, .png, .webp, .tiff, .heic, .avif] {
        let (data, notes) = try file.copy(as: type, quality: 95, path: "picture")
        let copy = try read(data).image
        let name = "\(type) \(channels) \(depth)"
        if type.isExact {
          XCTAssertEqual(copy.bytes, image.bytes, name)
          XCTAssertEqual(notes, [], name)
          continue
        }
        XCTAssertEqual([copy.width, copy.height], [40, 24], name)
        XCTAssertEqual(copy.hasAlpha, image.hasAlpha && type != .jpeg, name)
        XCTAssertEqual(copy.bitDepth, type == .heic || type == .avif ? depth : 8, name)
        XCTAssertEqual(notes.contains { $0.contains("over white") }, type == .jpeg && image.hasAlpha, name)
        XCTAssertEqual(notes.contains { $0.contains("rounded") }, depth == 16 && (type == .jpeg || type == .webp), name)
        let (p, q) = (copy.planes(), image.planes())
        // Where nothing shows through, and at the left, where all does.
        for (x, isTransparent) in [(0, image.hasAlpha), (30, false)] {
          let expected: Float = isTransparent && type == .jpeg ? 1 : q[x]
          if !isTransparent || type == .jpeg {
            XCTAssertEqual(p[x], expected, accuracy: image.hasAlpha ? 0.35 : 0.06, name)
          }
        }
      }
    }
  }

  /// What djpeg and browsers show.
  func testJPEGsThatBreakTheRulesHarmlessly() throws {
    let jpeg = try read(encodePNG(gradient())).encoded(as: .jpeg)
    let right = try read(jpeg).image
    func with(_ change: (inout Data) -> Void) throws -> ImageFile {
      var data = jpeg
      change(&data)
      return try read(data)
    }
    let app0 = try XCTUnwrap(jpeg.range(of: Data("JFIF\0".utf8))).upperBound
    let scan = try XCTUnwrap(jpeg.range(of: Data([0xff, 0xda]))).lowerBound
    for (major, minor) in [(2, 1), (0, 2)] as [(UInt8, UInt8)] {
      XCTAssertEqual(try with { ($0[app0], $0[app0 + 1]) = (major, minor) }.image.bytes, right.bytes)
    }
    // Samsung's: the scan's last spectral coefficient is 0, not 63.
    XCTAssertEqual(try with { $0[scan + 12] = 0 }.image.bytes, right.bytes)
    XCTAssertEqual(try with { $0.removeLast(2) }.image.bytes, right.bytes)
    let padded = try with { $0.append(Data(count: 1000)) }
    XCTAssertEqual(padded.image.bytes, right.bytes)
    XCTAssertEqual(padded.leftOut, [])
    // Cut short: what there is, and said.
    let large = try read(encodePNG(gradient(200, 200).upright(from: 1))).encoded(as: .jpeg)
    let cut = try read(large.prefix(large.count * 3 / 4))
    XCTAssertEqual(cut.image.height, 200)
    XCTAssertTrue(cut.notes.contains { $0.contains("cut short") }, "\(cut.notes)")
  }

  /// A site that halves the colours changes more than one that does not; copies have them all, also of files that do not.
  func testSubsampling() throws {
    let image = gradient(64, 64)
    let half = try jpegRoundTrip(image, quality: 95, subsampling: .halved)
    let full = try jpegRoundTrip(image, quality: 95)
    XCTAssertGreaterThan(meanDifference(half, image), 1.2 * meanDifference(full, image))
    XCTAssertEqual(try read(read(encodePNG(image)).encoded(as: .jpeg)).image.bytes, full.bytes)
  }

  /// Behind a picture's end lie films and second pictures: not in the copy, and said.
  func testWhatLiesBehindTheEnd() throws {
    let source = try read(encodePNG(gradient()))
    let film = Data("a film's bytes".utf8)
    for type in [ImageType.jpeg, .png, .webp] {
      let plain = try source.encoded(as: type)
      XCTAssertEqual(try read(plain + Data(count: 64)).leftOut, [], "zeros are nothing: \(type)")
      let file = try read(plain + film)
      XCTAssertEqual(file.leftOut, .trailer, "\(type)")
      XCTAssertNil(try file.encoded(as: type).range(of: film), "\(type)")
    }
    // A box whose length has 64 bits, as large ones have it.
    let long = Data([0, 0, 0, 1]) + Data("free".utf8) + Data([0, 0, 0, 0, 0, 0, 0, 20, 1, 2, 3, 4])
    XCTAssertEqual(try read(source.encoded(as: .heic) + long).leftOut, [])
    for (box, before) in [("mpvd", Data()), ("moov", long)] {
      let file = try read(source.encoded(as: .heic) + before + Data([0, 0, 0, 22]) + Data(box.utf8) + film)
      XCTAssertEqual(file.leftOut, .animation)
      XCTAssertNil(try file.encoded(as: .heic).range(of: film))
    }
    let still = gif(
      width: 1, height: 1, palette: [[1, 2, 3]], frames: [(left: 0, top: 0, width: 1, height: 1, indices: [0])])
    XCTAssertEqual(try read(still + film).leftOut, .trailer)
    // A segment that the end cuts off.
    let jpeg = try source.encoded(as: .jpeg)
    let cut = try read(jpeg.dropLast(2) + Data([0xff, 0xe1, 0x40, 0, 1, 2, 3]))
    XCTAssertEqual(cut.image.bytes, try read(jpeg).image.bytes)
  }

  func testGIFs() throws {
    let palette: [[UInt8]] = [[10, 20, 30], [200, 0, 0], [0, 200, 0]]
    let whole = (left: 0, top: 0, width: 16, height: 12, indices: (0..<192).map { UInt8($0 % 3) })
    let file = try read(gif(width: 16, height: 12, palette: palette, frames: [whole], comment: "a comment"))
    XCTAssertEqual(file.image.channels, 3)
    XCTAssertEqual(file.image.bytes, whole.indices.flatMap { palette[Int($0)] })
    XCTAssertEqual(file.leftOut, [])
    XCTAssertNotNil(try file.encoded(as: .png).range(of: Data("a comment".utf8)))
    // A film whose first picture covers a part of the screen, and one colour is none.
    let part = (left: 4, top: 2, width: 2, height: 1, indices: [UInt8(1), 2])
    let film = try read(gif(width: 16, height: 12, palette: palette, frames: [part, whole], transparent: 2))
    XCTAssertEqual(film.leftOut, .animation)
    XCTAssertEqual(film.image.channels, 4)
    XCTAssertEqual(
      Array(film.image.bytes[4 * (2 * 16 + 3)..<4 * (2 * 16 + 6)]), [0, 0, 0, 0, 200, 0, 0, 255, 0, 0, 0, 0])
  }

  /// XMP lies in a GIF as it is, a profile and comments in blocks that are joined.
  func testWhatAGIFSays() throws {
    let frame = (left: 0, top: 0, width: 1, height: 1, indices: [UInt8(0)])
    func file(_ extensions: [UInt8], comment: String? = nil) throws -> ImageFile {
      try read(
        gif(width: 1, height: 1, palette: [[1, 2, 3]], frames: [frame], comment: comment, extensions: extensions))
    }
    let packet = """
      <x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\
      <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="Ada\(String(repeating: " and others", count: 99))"/>\
      </rdf:RDF></x:xmpmeta>
      """
    let trailer = [1] + (0...255).reversed().map { UInt8($0) } + [0]
    let xmp = try file([0x21, 0xff, 11] + Array("XMP DataXMP".utf8) + Array(packet.utf8) + trailer)
    XCTAssertNotNil(xmp.xmp.range(of: Data("Ada and others and".utf8)))
    XCTAssertEqual(xmp.leftOut, [])
    let p3 = try read(inserting(chunk: "cICP", [12, 13, 0, 1], into: encodePNG(gradient()))).profile
    let blocks = [UInt8](p3).chunked(255).flatMap { [UInt8($0.count)] + $0 }
    XCTAssertEqual(try file([0x21, 0xff, 11] + Array("ICCRGBG1012".utf8) + blocks + [0]).profile, p3)
    let long = String(repeating: "A long comment. ", count: 40)
    XCTAssertNotNil(try file([], comment: long).encoded(as: .png).range(of: Data(long.utf8)))
  }

  func testBitmaps() throws {
    let (red, green): ([UInt8], [UInt8]) = ([0, 0, 255], [0, 255, 0])  // blue first
    let full = try read(bmp(width: 2, height: 2, bits: 24, rows: red + green + [0, 0] + green + red + [0, 0]))
    XCTAssertEqual(full.image.bytes, [0, 255, 0, 255, 0, 0, 255, 0, 0, 0, 255, 0])
    let downwards = try read(bmp(width: 2, height: -1, bits: 24, rows: red + green + [0, 0]))
    XCTAssertEqual(downwards.image.bytes, [255, 0, 0, 0, 255, 0])
    let palette = red + [0] + green + [0]
    XCTAssertEqual(
      try read(bmp(width: 9, height: 1, bits: 1, palette: palette, rows: [0b0100_0000, 0x80, 0, 0])).image.bytes
        .chunked(3),
      (0..<9).map { $0 == 1 || $0 == 8 ? [0, 255, 0] : [255, 0, 0] })
    XCTAssertEqual(
      try read(bmp(width: 3, height: 1, bits: 4, palette: palette, rows: [0x01, 0x10, 0, 0])).image.bytes.chunked(3),
      [[255, 0, 0], [0, 255, 0], [0, 255, 0]])
    // Run lengths: two of the second colour, then one of the first, literally; the row above is left out.
    let runs: [UInt8] = [2, 1, 0, 3, 0, 1, 0, 0, 0, 1]
    XCTAssertEqual(
      try read(bmp(width: 5, height: 2, bits: 8, compression: 1, palette: palette, rows: runs)).image.bytes.chunked(3)
        .suffix(5),
      [[0, 255, 0], [0, 255, 0], [255, 0, 0], [0, 255, 0], [255, 0, 0]])
    // 16 bits of five each, and by masks of 5, 6 and 5.
    XCTAssertEqual(try read(bmp(width: 1, height: 1, bits: 16, rows: [0x1f, 0x7c, 0, 0])).image.bytes, [255, 0, 255])
    let masks: [UInt8] = [0, 0xf8, 0, 0, 0xe0, 7, 0, 0, 0x1f, 0, 0, 0]
    XCTAssertEqual(
      try read(bmp(width: 1, height: 1, bits: 16, compression: 3, palette: masks, rows: [0xe0, 7, 0, 0])).image.bytes,
      [0, 255, 0])
    XCTAssertThrowsError(try read(bmp(width: 4000, height: 4000, bits: 24, rows: [1, 2, 3]))) {
      XCTAssertTrue("\($0)".contains("truncated"), "\($0)")
    }
  }

  /// libaom ends the process where it is to write 10 bits: in 12 these are the same.
  func testAVIFOf10Bits() throws {
    let file = try read(avifOf10Bits)
    XCTAssertEqual(file.image.bitDepth, 16)
    let copy = try read(file.encoded(as: .avif))
    XCTAssertEqual(copy.image.bitDepth, 16)
    for image in [file.image, copy.image] {
      for (value, right) in zip(image.planes().chunked(256).map { ($0[0] + 1) * 127.5 }, [200, 100, 50]) {
        XCTAssertEqual(value, Float(right), accuracy: 2.5)
      }
    }
  }

  /// High dynamic range goes along where the type has a place for it, and is said to be lost where not.
  func testHighDynamicRange() throws {
    let codes = try XCTUnwrap(avifOf10Bits.range(of: Data("colrnclx".utf8))).upperBound
    for transfer in [UInt8(16), 18] {
      var avif = avifOf10Bits
      avif[codes + 1] = 9
      avif[codes + 3] = transfer
      let chunk = pngChunk("cICP", [9, transfer, 0, 1])
      let png = try encodePNG(gradient(bitDepth: 16))
      for file in [try read(avif), try read(png.prefix(33) + chunk + png.dropFirst(33))] {
        for type in [ImageType.avif, .heic, .png] {
          let (data, notes) = try file.copy(as: type, path: "copy")
          XCTAssertFalse(notes.contains { $0.contains("dynamic range") }, "\(notes)")
          if type == .png {
            XCTAssertNotNil(data.range(of: chunk))
          } else {
            XCTAssertNotNil(data.range(of: Data("colrnclx".utf8 + [0, 9, 0, transfer])), "\(type)")
          }
        }
        for type in [ImageType.jpeg, .webp, .tiff] {
          XCTAssertTrue(
            try file.copy(as: type, path: "copy").notes.contains { $0.contains("dynamic range") }, "\(type)")
        }
      }
    }
  }

  /// What a PNG says of its colours by numbers goes before all else: it becomes a profile.
  func testPNGsCodePoints() throws {
    let png = try encodePNG(gradient())
    let wide = [0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06].flatMap { value in
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: Int(value * 100_000) >> $0) }
    }
    /// What a profile says of a primary colour (ICC.1, 9.2): X, Y and Z.
    func primary(_ name: String, _ profile: Data) throws -> [Double] {
      let bytes = [UInt8](profile)
      let entry = try XCTUnwrap(profile.range(of: Data(name.utf8))).lowerBound
      func number(_ at: Int) -> Int { bytes[at..<at + 4].reduce(0) { $0 << 8 | Int($1) } }
      return (0..<3).map { Double(number(number(entry + 4) + 8 + 4 * $0)) / 65536 }
    }
    let p3 = try read(inserting(chunk: "cHRM", wide, into: png)).profile
    let coded = try read(inserting(chunk: "cICP", [12, 13, 0, 1], into: png)).profile
    for name in ["rXYZ", "gXYZ", "bXYZ"] {
      let (found, right) = (try primary(name, coded), try primary(name, p3))
      // Of the red of Display P3, by its makers: 0.51512, 0.2412, -0.00105.
      for c in 0..<2 { XCTAssertEqual(found[c], right[c], accuracy: 0.001, name) }
    }
    XCTAssertEqual(try primary("rXYZ", coded)[0], 0.51512, accuracy: 0.001)
    let plain = inserting(chunk: "cHRM", wide, into: inserting(chunk: "cICP", [1, 13, 0, 1], into: png))
    XCTAssertTrue(try read(plain).profile.isEmpty)
  }

  /// What people are told is no library's message.
  func testErrorsAreSentences() throws {
    let source = try read(encodePNG(gradient()))
    for type in [ImageType.jpeg, .png, .webp, .tiff, .heic, .avif] {
      let whole = try source.encoded(as: type)
      for count in [40, whole.count / 2] {
        do {
          let notes = try read(whole.prefix(count)).notes
          XCTAssertEqual(notes, ["is cut short: what is missing is grey or coarse"])
        } catch {
          XCTAssertTrue("\(error)".contains("truncated") || "\(error)".contains("no pixels"), "\(error)")
          XCTAssertFalse("\(error)".contains("\n"), "\(error)")
        }
      }
    }
  }

  /// A PNG that ends behind its pixels is shown by viewers: it is read, and what was before them is kept.
  func testPNGWithoutItsEnd() throws {
    let whole = try encodePNG(gradient())
    let titled = inserting(chunk: "tEXt", Array("Title\0Sunrise".utf8), into: whole)
    let trailing = whole.dropLast(12) + pngChunk("tEXt", Array("Title\0Sunset".utf8)).dropLast(6)
    for (data, title) in [(titled.dropLast(12), "Sunrise"), (titled.dropLast(5), "Sunrise"), (trailing, nil)] {
      let file = try read(Data(data))
      XCTAssertEqual(file.image.bytes, gradient().bytes)
      XCTAssertEqual(file.notes, ["is cut short or damaged behind its pixels, which are whole"])
      let copy = try file.encoded(as: .png)
      XCTAssertEqual(copy.range(of: Data("Sunrise".utf8)) != nil, title != nil)
      XCTAssertEqual(try read(copy).notes, [])
    }
    XCTAssertThrowsError(try read(Data(whole.dropLast(40))))
  }

  /// An animation's first picture is a copy's only one.
  func testAnimatedPNG() throws {
    let png = try encodePNG(gradient())
    var film = inserting(chunk: "acTL", [0, 0, 0, 2, 0, 0, 0, 0], into: png)
    let end = film.count - 12
    film = film.prefix(end) + pngChunk("fdAT", [0, 0, 0, 1, 1, 2, 3]) + film.suffix(12)
    let file = try read(film)
    XCTAssertEqual(file.leftOut, .animation)
    let copy = try file.encoded(as: .png)
    for chunk in ["acTL", "fdAT"] { XCTAssertNil(copy.range(of: Data(chunk.utf8)), chunk) }
    XCTAssertEqual(try read(copy).image.bytes, gradient().bytes)
  }

  /// Too wide for a type: an error that names the file and says what to do.
  func testTypesHaveTheirLargestSide() throws {
    let wide = try read(
      encodePNG(Image(width: 70_000, height: 2, channels: 1, bytes: [UInt8](repeating: 7, count: 140_000))))
    for type in [ImageType.jpeg, .webp, .heic] {
      XCTAssertThrowsError(try wide.copy(as: type, path: "wide.png")) {
        XCTAssertTrue("\($0)".contains("wide.png") && "\($0)".contains("70000"), "\($0)")
      }
    }
    XCTAssertEqual(try read(wide.encoded(as: .tiff)).image.width, 70_000)
  }
}

extension Array {
  func chunked(_ size: Int) -> [[Element]] {
    stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
  }
}
