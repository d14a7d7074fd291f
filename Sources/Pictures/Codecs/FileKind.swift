import Foundation
import SystemPackage

/// What a file holds, told by its first bytes: names are often wrong, and sites and phones make up endings of their own.
package enum FileKind: String, Codable, CaseIterable, Sendable {
  case png, jpeg, webp, tiff, heic, avif, gif, bmp
  case jpegXL = "JPEG XL"
  case jpegXR = "JPEG XR"
  case jpeg2000 = "JPEG 2000"
  case netpbm = "Netpbm"
  case targa = "TGA"
  case pcx = "PCX"
  case openEXR = "OpenEXR"
  case radiance = "Radiance HDR"
  case qoi = "QOI"
  case directDraw = "DDS"
  case sgi = "SGI"
  case dpx = "DPX"
  case fits = "FITS"
  case farbfeld = "farbfeld"
  case xcf = "GIMP"
  case cameraRaw = "camera raw"
  case photoshop = "Photoshop"
  case icon
  case vectorGraphics = "drawing"
  case video, audio
  case pdf = "PDF"
  case archive
  case appleDouble = "AppleDouble"
  case text
  case empty = "empty file"
  case special = "pipe, socket or device"
  case other

  /// The kind of files of a type.
  package init(_ type: ImageType) { self = FileKind(rawValue: type.rawValue)! }

  /// The type by which such a file is read; nil where it cannot be.
  package var type: ImageType? { ImageType(rawValue: rawValue) }

  /// Whether this is a picture, whether or not it can be read.
  package var isPicture: Bool { Self.allCases.firstIndex(of: self)! <= Self.allCases.firstIndex(of: .photoshop)! }

  /// The kind as people write it.
  package var name: String {
    switch self {
    case .webp: "WebP"
    case .png, .jpeg, .tiff, .heic, .avif, .gif, .bmp: rawValue.uppercased()
    default: rawValue
    }
  }

  /// So many bytes of a file's beginning are enough to tell.
  package static let headByteCount = 4096

  /// The kind of a file that begins with these bytes. One list, however long: which signature is asked first matters.
  package init(head: some Collection<UInt8>) {
    let head = Array(head.prefix(Self.headByteCount))
    func begins(_ bytes: [UInt8], at offset: Int = 0) -> Bool { head.dropFirst(offset).starts(with: bytes) }
    func begins(_ text: String, at offset: Int = 0) -> Bool { begins(Array(text.utf8), at: offset) }
    self =
      if head.isEmpty {
        .empty
      } else if begins([0x89, 0x50, 0x4e, 0x47]) {
        .png
      } else if begins([0xff, 0xd8]) {
        .jpeg
      } else if begins("RIFF") {
        begins("WEBP", at: 8) ? .webp : begins("WAVE", at: 8) ? .audio : begins("AVI ", at: 8) ? .video : .other
      } else if begins("GIF8") {
        .gif
      } else if begins("BM"), head.count >= 14, head[6...9].allSatisfy({ $0 == 0 }) {
        .bmp
      } else if begins("FUJIFILMCCD-RAW") || begins("IIRO") || begins("IIRS") || begins("MMOR") || begins("IIU\0")
        || begins("\0MRM") || begins("FOVb") || begins("CR", at: 8) && (begins("II*\0") || begins("MM\0*"))
      {
        .cameraRaw
      } else if begins("II*\0") || begins("MM\0*") || begins("II+\0") || begins("MM\0+") {
        isRawTIFF(head) ? .cameraRaw : .tiff
      } else if begins([0xff, 0x0a]) || begins("\0\0\0\u{0c}JXL ") {
        .jpegXL
      } else if begins("\0\0\0\u{0c}jP  ") || begins([0xff, 0x4f, 0xff, 0x51]) {
        .jpeg2000
      } else if begins("ftyp", at: 4) {
        Self(brands: head)
      } else if begins("8BPS") {
        .photoshop
      } else if begins("II\u{bc}".unicodeScalars.map { UInt8($0.value) }) {
        .jpegXR
      } else if let kind = Self(raster: head) {
        kind
      } else if (begins([0, 0, 1, 0]) || begins([0, 0, 2, 0])) && !begins([0, 0], at: 4) {
        .icon
      } else if begins("%!PS-Adobe") || begins([0xc5, 0xd0, 0xd3, 0xc6]) || begins([0xd7, 0xcd, 0xc6, 0x9a])
        || isSVG(head)
      {
        .vectorGraphics
      } else if begins([0, 5, 0x16, 7]) || begins([0, 5, 0x16, 0]) {
        .appleDouble
      } else if begins([0x1a, 0x45, 0xdf, 0xa3]) || begins([0, 0, 1, 0xba]) || begins([0, 0, 1, 0xb3]) || begins("FLV")
        || begins([0x30, 0x26, 0xb2, 0x75]) || begins("moov", at: 4) || begins("mdat", at: 4) || begins("wide", at: 4)
      {
        .video
      } else if begins("ID3") || begins("OggS") || begins("fLaC") || begins([0xff, 0xfb]) || begins([0xff, 0xf1]) {
        .audio
      } else if begins("%PDF-") {
        .pdf
      } else if begins("PK\u{3}\u{4}") || begins([0x1f, 0x8b])
        || begins("7z\u{bc}".unicodeScalars.map { UInt8($0.value) })
        || begins("Rar!") || begins([0xfd, 0x37, 0x7a]) || begins([0x28, 0xb5, 0x2f, 0xfd]) || begins("BZh")
        || begins("ustar", at: 257)
      {
        .archive
      } else if isText(head) {
        .text
      } else {
        .other
      }
  }

  /// Of the pictures of pixels that few but programs that make pictures write; nil where it is none of them.
  private init?(raster head: [UInt8]) {
    func begins(_ text: String) -> Bool { head.starts(with: text.utf8) }
    func number(_ offset: Int) -> Int { Int(head[offset]) | Int(head[offset + 1]) << 8 }
    func isSpace(_ byte: UInt8) -> Bool { [9, 10, 13, 32].contains(byte) }
    if head.count > 3, head[0] == UInt8(ascii: "P"),
      (UInt8(ascii: "1")...UInt8(ascii: "7")).contains(head[1])
        || [UInt8(ascii: "F"), UInt8(ascii: "f")].contains(head[1]),
      isSpace(head[2]),
      isSpace(head[3]) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(head[3])
        || head[3] == UInt8(ascii: "#") || head[1] == UInt8(ascii: "7")
    {
      self = .netpbm
    } else if head.starts(with: [0x76, 0x2f, 0x31, 0x01]) {
      self = .openEXR
    } else if begins("#?RADIANCE") || begins("#?RGBE") {
      self = .radiance
    } else if begins("qoif") {
      self = .qoi
    } else if begins("DDS ") {
      self = .directDraw
    } else if head.starts(with: [0x01, 0xda]), head.count > 12, head[2] <= 1, [1, 2].contains(head[3]) {
      self = .sgi
    } else if begins("SDPX") || begins("XPDS") || head.starts(with: [0x80, 0x2a, 0x5f, 0xd7]) {
      self = .dpx
    } else if begins("SIMPLE  =") {
      self = .fits
    } else if begins("farbfeld") {
      self = .farbfeld
    } else if begins("gimp xcf") {
      self = .xcf
    } else if head.count >= 128, head[0] == 10, [0, 2, 3, 4, 5].contains(head[1]), head[2] <= 1,
      [1, 2, 4, 8].contains(head[3]),
      number(4) <= number(8), number(6) <= number(10)
    {
      self = .pcx
    } else if head.count >= 18, head[1] <= 1, [1, 2, 3, 9, 10, 11].contains(head[2]),
      (head[1] == 1) == [1, 9].contains(head[2]),
      head[1] == 1 || head[3..<8].allSatisfy({ $0 == 0 }), number(12) > 0, number(14) > 0,
      [8, 15, 16, 24, 32].contains(head[16]), head[17] & 0xc0 == 0
    {
      // It has no mark of its own: its header makes sense as none other's does.
      self = .targa
    } else {
      return nil
    }
  }

  /// Of the ISO base media formats, by the brands that a file names.
  private init(brands head: [UInt8]) {
    let length = min(head.count, max(16, head[..<4].reduce(0) { $0 << 8 | Int($1) }))
    var brands = [String(decoding: head.dropFirst(8).prefix(4), as: UTF8.self)]
    for offset in stride(from: 16, to: length - 3, by: 4) {
      brands.append(String(decoding: head[offset..<offset + 4], as: UTF8.self))
    }
    let isStill = ["mif1", "msf1", "miaf"].contains(brands[0])
    self =
      if brands[0].hasPrefix("avi") || isStill && brands.contains(where: { $0 == "avif" || $0 == "avis" }) {
        .avif
      } else if isStill || ["heic", "heix", "heim", "heis", "hevc", "hevx"].contains(brands[0]) {
        .heic
      } else if brands[0] == "crx " {
        .cameraRaw
      } else {
        brands[0].hasPrefix("M4A") || brands[0].hasPrefix("M4B") ? .audio : .video
      }
  }

  /// Whether a file's name says that it is a picture: what a person would expect to be protected, whatever it holds.
  package static func isPictureName(_ path: FilePath) -> Bool {
    pictureExtensions.contains((path.extension ?? "").lowercased())
  }

  private static let pictureExtensions = Set(
    ImageType.allCases.flatMap(\.pathExtensions) + [
      "jpg_large", "jpg_small", "jpg_orig", "jxl", "jp2", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", "pef",
      "srw", "psd", "jxr", "wdp", "hdp", "pbm", "pgm", "ppm", "pnm", "pam", "pfm", "tga", "pcx", "exr", "qoi",
      "dds", "sgi", "dpx",
      "cin", "fits", "xcf", "j2k", "heif", "jfif",
    ])
}

/// Whether a TIFF file is a camera's raw one: it says that it is a DNG, or its first picture is only a preview.
private func isRawTIFF(_ head: [UInt8]) -> Bool {
  let isLittle = head[0] == UInt8(ascii: "I")
  func number(_ offset: Int, _ count: Int) -> Int? {
    guard offset >= 0, offset + count <= head.count else { return nil }
    let bytes = head[offset..<offset + count]
    return (isLittle ? Array(bytes.reversed()) : Array(bytes)).reduce(0) { $0 << 8 | Int($1) }
  }
  guard let directory = number(4, 4), let count = number(directory, 2) else { return false }
  var (isPreview, hasSubdirectories) = (false, false)
  for entry in 0..<count {
    let offset = directory + 2 + 12 * entry
    guard let tag = number(offset, 2) else { break }
    if tag == 0xC612 { return true }
    if tag == 0x00FE { isPreview = number(offset + 8, 4) == 1 }
    if tag == 0x014A { hasSubdirectories = true }
  }
  return isPreview && hasSubdirectories
}

/// Whether a text is a drawing in SVG, whatever comes before its element.
private func isSVG(_ head: [UInt8]) -> Bool {
  guard let first = head.first(where: { ![0xef, 0xbb, 0xbf, 9, 10, 13, 32].contains($0) }), first == UInt8(ascii: "<")
  else {
    return false
  }
  return String(decoding: head, as: UTF8.self).range(of: "<([A-Za-z]+:)?svg[\\s>]", options: .regularExpression) != nil
}

/// Whether bytes are text, but for what a cut at their end leaves of a character.
private func isText(_ head: [UInt8]) -> Bool {
  guard !head.contains(where: { $0 < 0x20 && !(9...13).contains($0) && $0 != 0x1b || $0 == 0x7f }) else { return false }
  return (0..<4).contains { String(validating: head.dropLast($0), as: UTF8.self) != nil }
}
