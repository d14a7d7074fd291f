import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// That a copy holds no picture but its own, wherever files have others.
final class SecondPictureTests: MetadataTestCase {
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
}
