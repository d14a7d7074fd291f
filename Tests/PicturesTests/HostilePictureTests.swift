import Foundation
import Kernels
import Pictures
import TestSupport
import XCTest

/// Files of every type with bytes changed, cut or doubled: read, or refused by name. (tools/fuzz does this for long.)
final class HostilePictureTests: XCTestCase {
  private var state: UInt64 = 1

  private func random(_ count: Int) -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 33) % count
  }

  private func mutated(_ data: Data) -> Data {
    var bytes = [UInt8](data)
    for _ in 0...random(6) {
      let at = random(bytes.count)
      switch random(5) {
      case 0: bytes[at] = [0, 1, 127, 128, 255][random(5)]
      case 1: bytes[at] ^= 1 << UInt8(random(8))
      case 2: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random(16)))
      case 3: bytes.insert(contentsOf: bytes[at..<min(bytes.count, at + 1 + random(16))], at: at)
      default: bytes[at] = UInt8(random(256))
      }
      if bytes.count < 2 { return data }
    }
    return Data(random(10) == 0 ? bytes.prefix(1 + random(bytes.count)) : bytes[...])
  }

  /// Sizes whose product fits no number, and a tile that is far larger than its picture.
  func testSizesThatCannotBe() throws {
    for (width, height) in [(0xffff_ffff, 0xffff_ffff), (0xffff_ffff, 1), (1, 0xffff_ffff), (0, 4)] {
      let page: [Int: TIFFValue] = [
        256: .long([width]), 257: .long([height]), 258: .short([8]), 259: .short([1]), 262: .short([1]),
        273: .blocks([[1, 2]]),
        277: .short([1]), 278: .long([height]), 279: .long([2]),
      ]
      XCTAssertThrowsError(try ImageFile(Data(tiff([page])), path: "huge.tif")) {
        XCTAssertTrue("\($0)".hasPrefix("huge.tif: "), "\($0)")
      }
    }
    let tiled: [Int: TIFFValue] = [
      256: .long([8]), 257: .long([4]), 258: .short([8]), 259: .short([1]), 262: .short([1]), 277: .short([1]),
      322: .long([16]), 323: .long([1 << 26]), 324: .blocks([[1, 2]]), 325: .long([2]),
    ]
    XCTAssertThrowsError(try ImageFile(Data(tiff([tiled])), path: "tiles.tif")) {
      XCTAssertTrue("\($0)".contains("far larger than the picture"), "\($0)")
    }
  }

  /// A bitmap whose header is of no size that there is, and one that ends anywhere.
  func testBitmapHeaders() throws {
    var bytes = Array("BM".utf8) + [UInt8](repeating: 0, count: 200)
    bytes[10] = 138
    for header in 0...255 {
      bytes[14] = UInt8(header)
      for count in [14, 18, 26, 27, 30, 34, 54, 202] {
        XCTAssertThrowsError(try ImageFile(Data(bytes[..<count]), path: "x.bmp")) {
          XCTAssertTrue("\($0)".contains("x.bmp"), "\($0)")
        }
      }
    }
  }

  func testMutatedFiles() throws {
    let limit = ImageFile.largestPixelCount
    ImageFile.largestPixelCount = 1 << 20
    defer { ImageFile.largestPixelCount = limit }
    var png = inserting(
      chunk: "eXIf", tiff([[0x10f: .ascii("M"), 0x112: .short([6])]]), into: try encodePNG(gradient(12, 10)))
    png = inserting(chunk: "tEXt", Array("Comment\0words".utf8), into: png)
    let source = try ImageFile(png, path: "source")
    let frame = (left: 0, top: 0, width: 9, height: 5, indices: (0..<45).map { UInt8($0 % 3) })
    let palette: [UInt8] = [0, 0, 255, 0, 0, 255, 0, 0]
    for type in ImageType.allCases {
      let seeds: [Data] =
        switch type {
        case .gif:
          [
            gif(
              width: 9, height: 5, palette: [[1, 2, 3], [4, 5, 6], [7, 8, 9]], frames: [frame, frame], transparent: 2)
          ]
        case .bmp:
          [
            bmp(width: 3, height: 2, bits: 24, rows: (0..<24).map { UInt8($0) }),
            bmp(
              width: 9, height: 2, bits: 8, compression: 1, palette: palette,
              rows: [2, 1, 0, 3, 0, 1, 0, 0, 0, 2, 1, 1, 0, 1]),
            bmp(width: 9, height: 2, bits: 4, compression: 2, palette: palette, rows: [2, 1, 0, 3, 0, 1, 0, 0, 0, 1]),
            bmp(
              width: 1, height: 1, bits: 16, compression: 3, palette: [0, 0xf8, 0, 0, 0xe0, 7, 0, 0, 31, 0, 0, 0],
              rows: [1, 2, 3, 4]),
          ]
        default: [try source.encoded(as: type)]
        }
      var (read, refused) = (0, 0)
      let count = type == .heic || type == .avif ? 100 : 1500
      for index in 0..<count {
        do {
          _ = try ImageFile(mutated(seeds[index % seeds.count]), path: "hostile").encoded(as: .png)
          read += 1
        } catch let error as FileError {
          XCTAssertTrue("\(error)".hasPrefix("hostile: ") || "\(error)".hasPrefix("PNG: "), "\(error)")
          refused += 1
        }
      }
      XCTAssertGreaterThan(read, count / 100, "\(type)")
      XCTAssertGreaterThan(refused, count / 100, "\(type)")
    }
  }
}

/// HEIC and AVIF whose parts are larger than their headers say: decoders take sizes from the parts.
final class CodedSizeTests: XCTestCase {
  private func bigEndian(_ value: Int, _ width: Int) -> [UInt8] {
    (0..<width).reversed().map { UInt8(value >> (8 * $0) & 255) }
  }

  private func box(_ type: String, _ body: [UInt8]...) -> [UInt8] {
    let body = Array(body.joined())
    return bigEndian(body.count + 8, 4) + Array(type.utf8) + body
  }

  private func assertRefused(_ file: [UInt8], _ path: String, line: UInt = #line) {
    XCTAssertThrowsError(try ImageFile(Data(file), path: path), line: line) {
      XCTAssertTrue("\($0)".hasPrefix("\(path): ") && "\($0)".contains("its parts are far larger"), "\($0)", line: line)
    }
  }

  /// A stream of 1200x1200 pixels in a file that says 8x8, where the true size is read.
  func testStreamsLargerThanTheHeader() throws {
    let image = Image(width: 1200, height: 1200, channels: 3, bytes: [UInt8](repeating: 90, count: 1200 * 1200 * 3))
    for type in [ImageType.heic, .avif] {
      var file = [UInt8](try ImageFile(encodePNG(image), path: "a.png").encoded(as: type))
      XCTAssertEqual(try ImageFile(Data(file), path: "true").image.width, 1200)
      let places = file.indices.dropLast(16).filter { file[$0..<$0 + 4].elementsEqual("ispe".utf8) }
      XCTAssertFalse(places.isEmpty)
      for place in places { file.replaceSubrange(place + 8..<place + 16, with: bigEndian(8, 4) + bigEndian(8, 4)) }
      assertRefused(file, "small.\(type.name)")
    }
  }

  /// A grid of 30,000 pixels a side in a file that says 12x10; one that is part of itself; one whose data are named too often; places
  /// beyond all numbers.
  func testGridsLargerThanTheHeader() {
    let flags = [UInt8](repeating: 0, count: 4)
    /// - Parameter place: where the grid's data lie: an offset of four bytes and a length of four, or both of eight.
    func file(grid: [UInt8], part: Int, extents: Int, place: [UInt8]? = nil) -> [UInt8] {
      func entry(_ id: Int, _ type: String) -> [UInt8] {
        box("infe", [2, 0, 0, 0], bigEndian(id, 2), [0, 0], Array(type.utf8), [0])
      }
      let place = place ?? bigEndian(0, 4) + bigEndian(grid.count, 4)
      return box("ftyp", Array("heic".utf8), flags, Array("mif1heic".utf8))
        + box(
          "meta", flags, box("hdlr", flags, flags, Array("pict".utf8), [UInt8](repeating: 0, count: 13)),
          box("pitm", flags, bigEndian(1, 2)),
          box("iinf", flags, bigEndian(2, 2), entry(1, "grid"), entry(2, "hvc1")),
          box("iref", flags, box("dimg", bigEndian(1, 2), bigEndian(1, 2), bigEndian(part, 2))),
          box(
            "iprp", box("ipco", box("ispe", flags, bigEndian(12, 4), bigEndian(10, 4))),
            box("ipma", flags, bigEndian(1, 4), bigEndian(1, 2), [1, 1])),
          box(
            "iloc", [1, 0, 0, 0], [place.count == 8 ? 0x44 : 0x88, 0], bigEndian(1, 2), bigEndian(1, 2),
            bigEndian(1, 2), [0, 0],
            bigEndian(extents, 2), Array(repeatElement(place, count: extents).joined())),
          box("idat", grid))
    }
    let huge: [UInt8] = [0, 0, 0, 0] + bigEndian(30000, 2) + bigEndian(30000, 2)
    let small: [UInt8] = [0, 0, 0, 0] + bigEndian(12, 2) + bigEndian(10, 2)
    assertRefused(file(grid: huge, part: 2, extents: 1), "grid.heic")
    assertRefused(file(grid: small, part: 1, extents: 1), "loop.heic")
    assertRefused(file(grid: small + [UInt8](repeating: 0, count: 5000), part: 2, extents: 60), "often.heic")
    XCTAssertThrowsError(try ImageFile(Data(file(grid: small, part: 2, extents: 1)), path: "tile.heic")) {
      XCTAssertFalse("\($0)".contains("far larger"), "\($0)")
    }
    let most = [UInt8](repeating: 0xff, count: 8)
    assertRefused(file(grid: huge, part: 2, extents: 1, place: bigEndian(0, 8) + most), "long.heic")
    XCTAssertThrowsError(
      try ImageFile(Data(file(grid: huge, part: 2, extents: 1, place: most + most)), path: "far.heic")
    ) {
      XCTAssertTrue("\($0)".hasPrefix("far.heic: "), "\($0)")
    }
  }
}
