import CCodecs
import Foundation
import Kernels

/// The library calls that read and write a type.
struct Codec {
  let readHeader:
    @Sendable (UnsafePointer<UInt8>, Int, UnsafeMutablePointer<tsdf_picture>, UnsafeMutablePointer<tsdf_report>) ->
      Int32
  let decode:
    @Sendable (
      UnsafePointer<UInt8>, Int, UnsafeMutablePointer<tsdf_picture>, UnsafeMutablePointer<UInt8>,
      UnsafeMutablePointer<tsdf_metadata>, UnsafeMutablePointer<tsdf_report>
    ) -> Int32
  /// The most pixels that a byte of a file may stand for: what promises more is truncated. (Deflate shrinks by 1032; an
  /// empty progressive scan costs a few bits for 64 pixels.) nil where there is no such bound.
  let pixelsPerByte: Int?

  /// nil for BMP, which has no library.
  init?(_ type: ImageType) {
    switch type {
    case .jpeg: self.init(tsdf_jpeg_read_header, tsdf_jpeg_decode, 4000)
    case .png: self.init(tsdf_png_read_header, tsdf_png_decode, 1100 * 8)
    case .webp: self.init(tsdf_webp_read_header, tsdf_webp_decode, nil)
    case .tiff: self.init(tsdf_tiff_read_header, tsdf_tiff_decode, nil)
    case .heic, .avif: self.init(tsdf_heif_read_header, tsdf_heif_decode, nil)
    case .gif: self.init(tsdf_gif_read_header, tsdf_gif_decode, 4000)
    case .bmp: return nil
    }
  }

  private init(
    _ readHeader:
      @Sendable @escaping @convention(c) (
        UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<tsdf_picture>?, UnsafeMutablePointer<tsdf_report>?
      ) -> Int32,
    _ decode:
      @Sendable @escaping @convention(c) (
        UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<tsdf_picture>?, UnsafeMutablePointer<UInt8>?,
        UnsafeMutablePointer<tsdf_metadata>?, UnsafeMutablePointer<tsdf_report>?
      ) -> Int32,
    _ pixelsPerByte: Int?
  ) {
    self.readHeader = readHeader
    self.decode = decode
    self.pixelsPerByte = pixelsPerByte
  }

  /// The call that writes a type; nil where there is none.
  static func encoder(_ type: ImageType) -> (
    @convention(c) (
      UnsafePointer<tsdf_picture>?, UnsafePointer<UInt8>?, Int32, UnsafePointer<tsdf_metadata>?,
      UnsafeMutablePointer<tsdf_bytes>?, UnsafeMutablePointer<tsdf_report>?
    ) -> Int32
  )? {
    switch type {
    case .jpeg: tsdf_jpeg_encode
    case .png: tsdf_png_encode
    case .webp: tsdf_webp_encode
    case .tiff: tsdf_tiff_encode
    case .heic: tsdf_heic_encode
    case .avif: tsdf_avif_encode
    case .gif, .bmp: nil
    }
  }
}

extension tsdf_report {
  /// Calls a codec: its error becomes ours, and names the file; what it finds odd goes to `notes`.
  static func calling(
    _ path: String, notes: inout [String], _ body: (UnsafeMutablePointer<tsdf_report>) -> Int32
  ) throws {
    var report = tsdf_report()
    let result = body(&report)
    func text<T>(_ characters: T) -> String {
      withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
    guard result == 0 else { throw FileError(path, text(report.error)) }
    let note = text(report.note)
    if !note.isEmpty { notes.append(note) }
  }
}
