import CCodecs
import Foundation

/// The file types that are read; those that can be written are copies' own types too.
public enum ImageType: String, CaseIterable, Sendable {
  case jpeg, png, webp, tiff, heic, avif, gif, bmp

  /// The type of a file by its first bytes, whatever its name says; nil for another.
  public init?(_ data: some Collection<UInt8>) {
    guard let type = FileKind(head: data).type else { return nil }
    self = type
  }

  /// How names of such files end, the commonest first.
  package var pathExtensions: [String] {
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
  package var isExact: Bool { self == .png || self == .tiff }

  /// Whether it can store pictures without colours, transparency, 16 bits a sample, and high dynamic range.
  var storesGrey: Bool { self == .png || self == .jpeg || self == .tiff }
  var storesAlpha: Bool { self != .jpeg }
  var storesHighRange: Bool { self == .png || self == .heic || self == .avif }
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
