import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// What a copy keeps of all that a file says, and that it holds no other picture.
final class MetadataTests: XCTestCase {
  private let types: [ImageType] = [.jpeg, .png, .webp, .tiff, .heic, .avif]
  /// What no copy may show: the photo before, as previews and second pictures have it.
  private let unprotected = try! ImageFile(encodePNG(gradient(24, 24)), path: "preview").encoded(as: .jpeg)

  private func read(_ data: Data) throws -> ImageFile { try ImageFile(data, path: "picture") }

  private func xmp(_ properties: String) -> [UInt8] {
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
  private func resources(
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

  private let camera: [Int: TIFFValue] = [
    0x10f: .ascii("Maker of cameras"), 0x112: .short([6]), 0x11a: .rational([(240, 1)]), 0x11b: .rational([(240, 1)]),
    0x128: .short([2]),
    0x8769: .directories([[0x9003: .ascii("2026:11:26 12:00:00"), 0x829a: .rational([(1, 125)])]]),
    0x8825: .directories([[1: .ascii("N"), 2: .rational([(52, 1), (31, 1), (0, 1)])]]),
  ]

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

  private func number(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }

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

  /// Every place in which cameras, phones and editors put a second picture.
  func testNoCopyHoldsAnotherPicture() throws {
    let preview = [UInt8](unprotected)
    let base64 = unprotected.base64EncodedString()
    let plain = try read(encodePNG(gradient())).encoded(as: .jpeg)
    var exif = camera
    exif[0x8769] = .directories([
      [
        0x927c: .undefined(preview), 0x9003: .ascii("2026:11:26 12:00:00"),
        0x9286: .undefined(Array("ASCII\0\0\0".utf8) + preview),
      ]
    ])
    exif[0x14a] = .directories([[0x201: .blocks([preview]), 0x202: .long([preview.count])]])
    exif[0xc6d2] = .undefined(preview)
    let thumbnail: [Int: TIFFValue] = [0x103: .short([6]), 0x201: .blocks([preview]), 0x202: .long([preview.count])]
    let thumbnails =
      "<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType=\"Resource\"><xmpGImg:image>\(base64)</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>"
    let segments: [(UInt8, [UInt8], LeftOut)] = [
      (0xe1, Array("Exif\0\0".utf8) + tiff([exif, thumbnail]), [.thumbnail, .makerNote, .metadata]),
      (0xe1, xmp(thumbnails), .metadata), (0xe1, xmp("<GImage:Data>\(base64)</GImage:Data>"), .metadata),
      (0xe1, xmp("<own:picture>\(base64)</own:picture>"), .metadata),
      (
        0xe1,
        Array("http://ns.adobe.com/xmp/extension/\0".utf8) + [UInt8](repeating: 65, count: 40) + Array(base64.utf8),
        .metadata
      ),
      (0xed, resources([(0x40c, [UInt8](repeating: 0, count: 28) + preview), (0x409, preview)]), .thumbnail),
      (0xe2, Array("MPF\0".utf8) + tiff([[0xb001: .long([2])]]), .pages),
      (0xe0, Array("JFXX\0".utf8) + [0x10] + preview, .thumbnail),
      (0xfe, preview, .metadata), (0xfe, Array(base64.utf8), .metadata), (0xeb, preview, []), (0xe5, preview, []),
    ]
    var all = plain
    for (marker, body, leftOut) in segments {
      let data = inserting(segment: marker, body, into: plain)
      let file = try read(data)
      XCTAssertEqual(file.leftOut, leftOut, "segment \(marker)")
      XCTAssertEqual(pictures(in: try file.encoded(as: .jpeg)), 1, "segment \(marker)")
      all = inserting(segment: marker, body, into: all)
    }
    all += unprotected
    XCTAssertGreaterThan(pictures(in: all), 8)
    let file = try read(all)
    XCTAssertTrue(file.leftOut.contains(.trailer))
    for type in types { XCTAssertEqual(pictures(in: try file.encoded(as: type)), 1, "\(type)") }
    XCTAssertNotNil(try file.encoded(as: .jpeg).range(of: Data("Maker of cameras".utf8)), "the rest stays")
  }

  func testNoCopyOfAPNGHoldsAnotherPicture() throws {
    let preview = [UInt8](unprotected)
    var png = try encodePNG(gradient())
    let exif = tiff([camera, [0x103: .short([6]), 0x201: .blocks([preview]), 0x202: .long([preview.count])]])
    png = inserting(chunk: "eXIf", exif, into: png)
    png = inserting(chunk: "iDOT", [UInt8](repeating: 0, count: 28), into: png)
    png = inserting(chunk: "prVW", preview, into: png)
    png = inserting(chunk: "tEXt", Array("Preview\0".utf8) + Array(unprotected.base64EncodedString().utf8), into: png)
    let hex = ("Exif\0\0".utf8 + exif).map { String(format: "%02x", $0) }.joined()
    png = inserting(chunk: "tEXt", Array("Raw profile type exif\0\nexif\n\(exif.count + 6)\n\(hex)\n".utf8), into: png)
    png += unprotected
    let file = try read(png)
    XCTAssertEqual(file.leftOut, [.thumbnail, .metadata, .trailer])
    for type in types { XCTAssertEqual(pictures(in: try file.encoded(as: type)), 1, "\(type)") }
    XCTAssertNil(try file.encoded(as: .png).range(of: Data("iDOT".utf8)))
  }

  /// Whatever the alphabet, the breaks, what stands before, and the text that it lies in.
  func testNoTextOfACopyHoldsAPicture() throws {
    func text(_ data: Data) -> String { data.base64EncodedString() }
    let whole = text(unprotected)
    let safe = whole.replacingOccurrences(of: "+", with: "-").replacingOccurrences(of: "/", with: "_")
    let escaped = whole.replacingOccurrences(of: "+", with: "%2b").replacingOccurrences(of: "/", with: "%2F")
    let lines = Array(whole).chunked(40).map { String($0) }
    let hex = unprotected.map { String(format: "%02X", $0) }
    let forms: [String] = [
      "data:image/jpeg;base64,\(whole)", "a thumbnail: \(whole)", safe, escaped,
      text(Data([7]) + unprotected), text(Data([7, 8]) + unprotected),
      "x=\(lines.joined(separator: "\r\n "))", "{'a': '\(lines.joined(separator: "\\n"))'}",
      hex.joined(), "bytes \(hex.joined(separator: ":"))", "0x\(hex.joined(separator: ", 0x"))",
    ]
    let png = try encodePNG(gradient())
    let jpeg = try read(png).encoded(as: .jpeg)
    let pixel = (left: 0, top: 0, width: 1, height: 1, indices: [UInt8(0)])
    for form in forms {
      let bytes = Array(form.utf8)
      func exif(_ tag: Int, _ value: [UInt8]) -> Data {
        inserting(
          segment: 0xe1, Array("Exif\0\0".utf8) + tiff([[0x8769: .directories([[tag: .undefined(value)]])]]), into: jpeg
        )
      }
      let xp: [UInt8] = bytes.flatMap { [$0, 0] as [UInt8] }
      let page: [Int: TIFFValue] = [
        256: .long([1]), 257: .long([1]), 258: .short([8]), 259: .short([1]), 262: .short([1]), 273: .blocks([[1]]),
        277: .short([1]), 278: .long([1]), 279: .long([1]), 270: .ascii(form),
      ]
      let files: [Data] = [
        inserting(segment: 0xfe, bytes, into: jpeg),
        inserting(segment: 0xe1, xmp("<own:p>\(form)</own:p>"), into: jpeg),
        exif(0x9286, Array("ASCII\0\0\0".utf8) + bytes), exif(0x9286, Array("UNICODE\0".utf8) + xp),
        inserting(
          segment: 0xe1, Array("Exif\0\0".utf8) + tiff([[0x9c9c: .byte(xp), 0x10e: .ascii(form)]]), into: jpeg),
        inserting(segment: 0xed, resources(caption: bytes), into: jpeg),
        inserting(chunk: "tEXt", Array("Software\0".utf8) + bytes, into: png),
        inserting(chunk: "iTXt", Array("Note\0\0\0\0\0".utf8) + bytes, into: png),
        gif(width: 1, height: 1, palette: [[1, 2, 3]], frames: [pixel], comment: form),
        Data(tiff([page])),
      ]
      // Pieces of the middle, in bytes and in wider characters.
      let piece = Array(bytes[bytes.count / 2..<bytes.count / 2 + 16])
      for (index, data) in files.enumerated() {
        let file = try read(data)
        let name = "\(form.prefix(30)), file \(index)"
        XCTAssertTrue(file.leftOut.contains(.metadata), name)
        for type in [ImageType.jpeg, .png] {
          let copy = try file.encoded(as: type)
          for part in [piece, piece.flatMap { [$0, 0] as [UInt8] }, piece.flatMap { [0, $0] as [UInt8] }] {
            XCTAssertNil(copy.range(of: Data(part)), name)
          }
        }
      }
    }
    // Of several comments each holds a part.
    let parts = Array(text(unprotected)).chunked(50).map { Array(String($0).utf8) }
    let split = try read(parts.reversed().reduce(jpeg) { inserting(segment: 0xfe, $1, into: $0) })
    XCTAssertEqual(split.leftOut, .metadata)
    XCTAssertNil(try split.encoded(as: .jpeg).range(of: Data(parts[parts.count / 2])))
  }

  /// Long texts of people and programs are no pictures.
  func testOrdinaryTextStays() throws {
    func identifier(_ i: Int) -> String {
      let digits = Array(String(format: "%016lx%016lx", i &* 0x9E37_79B9_7F4A_7C1, i &* 0x1234_5678_9ABC_DE1))
      return [digits[..<8], digits[8..<12], digits[12..<16], digits[16..<20], digits[20...]].map { String($0) }
        .joined(separator: "-")
    }
    let texts = [
      String(repeating: "We walked along the river and took this photo at noon ", count: 200),
      String(
        repeating: "https://example.org/photos/2026/11/27/by_the_river-and-the_bridge?size=large&from=album ", count: 60
      ),
      (0..<300).map(identifier).joined(separator: ", "), (0..<300).map(identifier).joined(separator: " "),
      (0..<100).map { "xmp.iid:\(identifier($0)) saved by /usr/share/applications/photo-editor" }.joined(
        separator: "; "),
      "{\"nodes\": ["
        + (0..<200).map { "{\"id\": \($0), \"model\": \"checkpoints/photo_real_v\($0).safetensors\"}" }
        .joined(separator: ", ") + "]}",
    ]
    for text in texts {
      var jpeg = try read(encodePNG(gradient())).encoded(as: .jpeg)
      jpeg = inserting(segment: 0xfe, Array(text.utf8), into: jpeg)
      let escaped = text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "\"", with: "&quot;")
      jpeg = inserting(segment: 0xe1, xmp("<own:note>\(escaped)</own:note>"), into: jpeg)
      jpeg = inserting(
        segment: 0xe1,
        Array("Exif\0\0".utf8)
          + tiff([[0x8769: .directories([[0x9286: .undefined(Array("ASCII\0\0\0\(text)".utf8))]])]]),
        into: jpeg)
      let file = try read(jpeg)
      XCTAssertEqual(file.leftOut, [], "\(text.prefix(40))")
      let copy = try file.encoded(as: .jpeg)
      let tail = Data(text.suffix(60).utf8)
      XCTAssertNotNil(copy.range(of: Data(text.utf8)), "\(text.prefix(40))")
      XCTAssertNotNil(file.exif.range(of: tail), "\(text.prefix(40))")
      XCTAssertNotNil(file.xmp.range(of: Data(escaped.suffix(20).utf8)), "\(text.prefix(40))")
    }
  }

  /// Of a profile stays what the standard names: its colours to the byte.
  func testProfilesHoldNoPicture() throws {
    let p3 = [UInt8](try read(inserting(chunk: "cICP", [12, 13, 0, 1], into: encodePNG(gradient()))).profile)
    let jpeg = try read(encodePNG(gradient())).encoded(as: .jpeg)
    func file(_ profile: [UInt8]) throws -> ImageFile {
      try read(inserting(segment: 0xe2, Array("ICC_PROFILE\0".utf8) + [1, 1] + profile, into: jpeg))
    }
    /// The profile with one tag more, behind all others.
    func adding(_ name: String, _ value: [UInt8]) -> [UInt8] {
      let count = p3[128..<132].reduce(0) { $0 << 8 | Int($1) }
      var table: [UInt8] = []
      for i in 0..<count {
        let entry = Array(p3[132 + 12 * i..<144 + 12 * i])
        table += entry[..<4] + number(UInt32(entry[4..<8].reduce(0) { $0 << 8 | Int($1) } + 12)) + entry[8...]
      }
      table += Array(name.utf8) + number(UInt32(p3.count + 12)) + number(UInt32(value.count))
      let size = p3.count + 12 + value.count
      return number(UInt32(size)) + p3[4..<128] + number(UInt32(count + 1)) + table + p3[(132 + 12 * count)...] + value
    }
    let preview = [UInt8](unprotected)
    XCTAssertEqual([UInt8](try file(p3).profile), p3)
    XCTAssertEqual(try file(p3).leftOut, [])
    for changed in [p3 + preview, adding("prvw", Array("data\0\0\0\0".utf8) + preview)] {
      let cleaned = try file(changed)
      XCTAssertEqual(cleaned.leftOut, .metadata)
      XCTAssertEqual([UInt8](cleaned.profile.dropFirst(128)), Array(p3.dropFirst(128)))
    }
    let harmless = try file(adding("ownT", Array("data\0\0\0\0".utf8) + [1, 2, 3, 4]))
    XCTAssertEqual(harmless.leftOut, [])
    XCTAssertEqual(harmless.profile.count, p3.count)
    let base64 = Array("text\0\0\0\0".utf8) + Array(unprotected.base64EncodedString().utf8)
    let held = try file(adding("targ", base64))
    XCTAssertEqual(held.leftOut, .metadata)
    XCTAssertTrue(held.profile.isEmpty)
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

  /// How many whole pictures lie anywhere in a file, in base 64 too: the file itself is one.
  private func pictures(in data: Data) -> Int {
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
