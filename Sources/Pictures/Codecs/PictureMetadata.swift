import CCodecs
import Foundation

/// What a file says beside its pixels, cleaned of all that could hold another picture. It never changes.
final class PictureMetadata: @unchecked Sendable {
  private let data: tsdf_metadata

  /// Takes over what a codec read.
  init(owning data: tsdf_metadata) { self.data = data }

  deinit {
    var data = data
    tsdf_metadata_free(&data)
  }

  /// Nothing.
  static var none: PictureMetadata { PictureMetadata(owning: tsdf_metadata()) }

  /// Cleans what a codec read, and takes it over.
  /// - Parameters:
  ///   - file: the whole file where it is a TIFF, which holds its metadata itself.
  ///   - isTurned: whether the pixels are upright already, whatever the EXIF data say.
  static func cleaned(
    _ data: inout tsdf_metadata, file: UnsafeBufferPointer<UInt8>?, isTurned: Bool, leftOut: inout Int32
  ) -> (metadata: PictureMetadata, orientation: Int) {
    var orientation: Int32 = isTurned ? 1 : 0
    tsdf_clean_metadata(&data, file?.baseAddress, file?.count ?? 0, &orientation, &leftOut)
    return (PictureMetadata(owning: data), Int(orientation))
  }

  /// The colour profile's channels; 0 for none that can be used.
  var profileChannels: Int { Int(tsdf_profile_channels(data.profile.data, data.profile.size)) }
  var hasProfile: Bool { data.profile.size > 0 }

  /// The bytes of each kind.
  var profile: Data { bytes(data.profile) }
  var exif: Data { bytes(data.exif) }
  var xmp: Data { bytes(data.xmp) }

  private func bytes(_ bytes: tsdf_bytes) -> Data { bytes.data.map { Data(bytes: $0, count: bytes.size) } ?? Data() }

  /// Turns CMYK samples into those of sRGB; the first three quarters of the bytes then hold them.
  func convertCMYK(
    _ pixels: UnsafeMutablePointer<UInt8>, count: Int, bitDepth: Int, _ report: UnsafeMutablePointer<tsdf_report>
  ) -> Int32 {
    tsdf_cmyk_to_srgb(data.profile.data, data.profile.size, pixels, count, Int32(bitDepth), report)
  }

  /// The same without a colour profile.
  func withoutProfile() -> PictureMetadata {
    var copy = tsdf_metadata_copy([data])
    free(copy.profile.data)
    copy.profile = tsdf_bytes()
    return PictureMetadata(owning: copy)
  }

  /// Whether it says that tsdf protected the picture.
  var isMarkedProtected: Bool { tsdf_is_marked_protected([data]) != 0 }

  /// The same, saying which tool protected the picture, or that none did (nil). Without room for it in a JPEG file it stays as it is.
  func marked(protectedBy tool: String?) -> PictureMetadata {
    var copy = tsdf_metadata_copy([data])
    _ = tsdf_mark_protected(&copy, tool)
    return PictureMetadata(owning: copy)
  }

  /// The same as a type can hold it.
  func fitted(to type: ImageType, notes: inout [String]) -> PictureMetadata {
    var copy = tsdf_metadata_copy([data])
    let (iptc, texts, density) = (
      type == .jpeg || type == .tiff, type == .jpeg || type == .png, type == .jpeg || type == .png || type == .tiff
    )
    if tsdf_fit_metadata(&copy, iptc ? 1 : 0, texts ? 1 : 0, density ? 1 : 0) == 1 {
      notes.append("comments have no place in a \(type.name) file: left out of the copy")
    }
    return PictureMetadata(owning: copy)
  }

  /// For a call that writes.
  func withData<R>(_ body: (UnsafePointer<tsdf_metadata>) throws -> R) rethrows -> R {
    try withUnsafePointer(to: data, body)
  }
}
