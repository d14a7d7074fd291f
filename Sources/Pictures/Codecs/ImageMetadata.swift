import Foundation

/// What a picture file holds beside its pixels.
enum ImageMetadata: Sendable {
  case png(PNGChunks)
  case jpeg(JPEGSegments)

  /// For a PNG copy: all chunks of a PNG; of a JPEG the EXIF data.
  var asPNG: PNGChunks {
    switch self {
    case .png(let chunks): return chunks
    case .jpeg(let segments): return PNGChunks(exif: segments.exif.map { Array($0.dropFirst(6)) })
    }
  }

  /// For a JPEG copy: all segments of a JPEG; of a PNG the EXIF data.
  var asJPEG: JPEGSegments {
    switch self {
    case .png(let chunks): return JPEGSegments(exif: chunks.exif.map { Array("Exif\0\0".utf8) + $0 })
    case .jpeg(let segments): return segments
    }
  }
}

/// The ancillary chunks of a PNG that stay true whatever the pixels' storage: profile, gamma, text, time, EXIF, and any
/// that are not known. (W3C PNG, chapter 11.) Each is kept byte for byte, checksum included.
struct PNGChunks: Sendable {
  private var chunks: [(type: String, bytes: [UInt8])] = []

  /// These speak of how the original stored its pixels.
  private static let tiedToStorage: Set = ["tRNS", "bKGD", "hIST", "sBIT", "sPLT", "acTL", "fcTL", "fdAT"]

  /// The chunks of a whole PNG file.
  init(_ file: [UInt8]) {
    var at = 8
    while at + 12 <= file.count {
      let length = file[at..<at + 4].reduce(0) { $0 << 8 | Int($1) }
      guard length <= file.count - at - 12 else { break }
      let type = String(decoding: file[at + 4..<at + 8], as: UTF8.self)
      let isAncillary = file[at + 4] & 0x20 != 0
      if isAncillary && !Self.tiedToStorage.contains(type) {
        chunks.append((type, Array(file[at..<at + 12 + length])))
      }
      at += 12 + length
    }
  }

  /// Nothing but EXIF data (TIFF bytes), if any.
  init(exif: [UInt8]?) {
    guard let exif else { return }
    let body = Array("eXIf".utf8) + exif
    chunks = [("eXIf", bigEndian(UInt32(exif.count)) + body + bigEndian(crc32(body)))]
  }

  /// The EXIF data, TIFF bytes.
  var exif: [UInt8]? { chunks.first { $0.type == "eXIf" }.map { Array($0.bytes.dropFirst(8).dropLast(4)) } }

  /// A PNG file with these chunks placed right after its header, where every one of them may stand.
  static func inserting(_ chunks: PNGChunks, into file: Data) -> Data {
    let headerEnd = 8 + 25
    return file.prefix(headerEnd) + Data(chunks.chunks.flatMap(\.bytes)) + file.dropFirst(headerEnd)
  }
}

/// The APPn and COM segments of a JPEG, but for those that the encoder writes itself.
struct JPEGSegments: Sendable {
  private var segments: [(marker: UInt8, data: [UInt8])] = []

  /// From the layout of tsdf_jpeg_decode.
  init(_ bytes: [UInt8]) {
    var at = 0
    while at + 5 <= bytes.count {
      let length = (0..<4).reduce(0) { $0 | Int(bytes[at + 1 + $1]) << (8 * $1) }
      segments.append((bytes[at], Array(bytes[at + 5..<at + 5 + length])))
      at += 5 + length
    }
  }

  /// Nothing but EXIF data ("Exif", two zeros, TIFF bytes), if it fits a segment.
  init(exif: [UInt8]?) {
    if let exif, exif.count <= 65533 { segments = [(0xE1, exif)] }
  }

  /// The layout of tsdf_jpeg_encode.
  var bytes: [UInt8] {
    segments.flatMap { segment in
      [segment.marker] + (0..<4).map { UInt8(truncatingIfNeeded: segment.data.count >> (8 * $0)) } + segment.data
    }
  }

  /// The EXIF data with its "Exif\0\0" in front.
  var exif: [UInt8]? { segments.first { $0.marker == 0xE1 && $0.data.starts(with: "Exif\0\0".utf8) }?.data }

  /// Drops a colour profile that no longer fits the pixels.
  mutating func removeColorProfile() {
    segments.removeAll { $0.marker == 0xE2 && $0.data.starts(with: "ICC_PROFILE\0".utf8) }
  }
}

private func bigEndian(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }

/// The checksum of PNG chunks (ISO 3309), bit by bit: it runs over a few kilobytes at most.
private func crc32(_ bytes: [UInt8]) -> UInt32 {
  ~bytes.reduce(UInt32.max) { sum, byte in
    (0..<8).reduce(sum ^ UInt32(byte)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
  }
}
