import CCodecs
import Foundation

/// The file types that are read; those that can be written are copies' own types too.
public enum ImageType: String, CaseIterable, Sendable {
  case jpeg, png, webp, tiff, heic, avif, gif, bmp

  /// The type of a file by its first bytes, whatever its name says; nil for another.
  public init?(_ data: some Collection<UInt8>) {
    let start = Array(data.prefix(32))
    func has(_ bytes: [UInt8], at offset: Int = 0) -> Bool { start.dropFirst(offset).starts(with: bytes) }
    func has(_ text: String, at offset: Int = 0) -> Bool { has(Array(text.utf8), at: offset) }
    if has([0xff, 0xd8]) {
      self = .jpeg
    } else if has([0x89, 0x50, 0x4e, 0x47]) {
      self = .png
    } else if has("RIFF"), has("WEBP", at: 8) {
      self = .webp
    } else if has([0x49, 0x49, 42, 0]) || has([0x4d, 0x4d, 0, 42]) || has([0x49, 0x49, 43, 0])
      || has([0x4d, 0x4d, 0, 43])
    {
      self = .tiff
    } else if has("GIF87a") || has("GIF89a") {
      self = .gif
    } else if has("BM"), start.count >= 18, [12, 16, 40, 52, 56, 64, 108, 124].contains(Int(start[14])), start[15] == 0
    {
      self = .bmp
    } else if has("ftyp", at: 4) {
      // The main brand, or one that the file says it also conforms to.
      let brands = stride(from: 8, to: start.count - 3, by: 4).map {
        String(decoding: start[$0..<$0 + 4], as: UTF8.self)
      }
      if brands.contains(where: { ["avif", "avis"].contains($0) }) {
        self = .avif
      } else if brands.contains(where: {
        ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"].contains($0)
      }) {
        self = .heic
      } else {
        return nil
      }
    } else {
      return nil
    }
  }

  /// The type that a name's ending stands for.
  public init?(pathExtension: String) {
    let type = Self.allCases.first { $0.pathExtensions.contains(pathExtension.lowercased()) }
    guard let type else { return nil }
    self = type
  }

  /// How names of such files end, the commonest first.
  public var pathExtensions: [String] {
    switch self {
    case .jpeg: ["jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjp"]
    case .png: ["png", "apng"]
    case .webp: ["webp"]
    case .tiff: ["tif", "tiff"]
    case .heic: ["heic", "heif", "hif"]
    case .avif: ["avif"]
    case .gif: ["gif"]
    case .bmp: ["bmp", "dib"]
    }
  }

  /// What people call it.
  public var name: String {
    switch self {
    case .jpeg: "JPEG"
    case .webp: "WebP"
    default: rawValue.uppercased()
    }
  }

  /// The type of a copy: the same where it can be written (HEIC and AVIF where an encoder is installed), else JPEG for photos
  /// and PNG for what has few colours or none to lose.
  public var copyType: ImageType {
    switch self {
    case .heic: tsdf_heic_has_encoder() == 1 ? .heic : .jpeg
    case .avif: tsdf_avif_has_encoder() == 1 ? .avif : .jpeg
    case .gif, .bmp: .png
    default: self
    }
  }

  /// Whether a copy has the very samples that it is made of.
  public var isExact: Bool { self == .png || self == .tiff }

  /// Whether it can store pictures without colours, transparency, and 16 bits a sample.
  var storesGrey: Bool { self == .png || self == .jpeg || self == .tiff }
  var storesAlpha: Bool { self != .jpeg }
  var storesWide: Bool { self == .png || self == .tiff || self == .heic || self == .avif }

  /// The most pixels a side.
  var longestSide: Int {
    switch self {
    case .jpeg: 65500
    case .webp: 16383
    case .heic, .avif: 65535
    default: 1_000_000
    }
  }
}
