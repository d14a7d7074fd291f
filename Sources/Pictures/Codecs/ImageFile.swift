import CJPEG
import CPNG
import Foundation
import Kernels

/// The file types that are read and written.
public enum ImageType: String, CaseIterable, Sendable {
  case png, jpeg

  /// The type of a file by its name, or nil when the name says nothing.
  public init?(pathExtension: String) {
    switch pathExtension.lowercased() {
    case "png": self = .png
    case "jpg", "jpeg", "jpe", "jfif": self = .jpeg
    default: return nil
    }
  }
}

/// A picture as a file holds it: pixels as stored, and everything else that a copy should keep.
public struct ImageFile: Sendable {
  public var image: Image
  public let type: ImageType
  /// The EXIF orientation (1...8); `image` is as stored, not turned.
  public let orientation: Int
  /// What was done to make the pixels RGB or grey that a copy cannot keep, for people; nil when nothing.
  public let note: String?
  fileprivate let metadata: ImageMetadata

  /// Pictures with more pixels are refused: 2^28, about 268 megapixels.
  public static let largestPixelCount = 1 << 28

  /// Reads and decodes a file; what it is is judged by its contents.
  /// - Throws: `FileError` naming the file and what is wrong with it.
  public init(contentsOf url: URL) throws { try self.init(Self.data(of: url), path: url.path) }

  /// A file's bytes.
  /// - Throws: `FileError` naming the file.
  public static func data(of url: URL) throws -> Data {
    do {
      return try Data(contentsOf: url)
    } catch {
      throw FileError(url.path, "cannot be read (\(plainReason(error)))")
    }
  }

  /// Decodes a file's bytes.
  /// - Parameter path: for errors.
  public init(_ data: Data, path: String) throws {
    guard !data.isEmpty else { throw FileError(path, "is empty") }
    let bytes = [UInt8](data)
    if bytes.starts(with: [0x89, 0x50, 0x4e, 0x47]) {
      try self.init(png: bytes, path: path)
    } else if bytes.starts(with: [0xff, 0xd8]) {
      try self.init(jpeg: bytes, path: path)
    } else {
      throw FileError(path, "is neither a PNG nor a JPEG file")
    }
  }

  private init(png bytes: [UInt8], path: String) throws {
    var header = tsdf_png_header()
    try call(path) { tsdf_png_read_header(bytes, bytes.count, &header, $0, $1) }
    let size = Int(header.channels) * Int(header.bit_depth) / 8
    // Deflate shrinks by 1032 at most.
    try checkSize(Int(header.width), Int(header.height), bytesPerPixel: size, ratio: 1100, bytes.count, path)
    var pixels = [UInt8](repeating: 0, count: Int(header.width) * Int(header.height) * size)
    try call(path) { tsdf_png_decode(bytes, bytes.count, &pixels, $0, $1) }
    image = Image(
      width: Int(header.width), height: Int(header.height), channels: Int(header.channels),
      bitDepth: Int(header.bit_depth), bytes: pixels)
    type = .png
    let chunks = PNGChunks(bytes)
    orientation = chunks.exif.map { exifOrientation(Array("Exif\0\0".utf8) + $0) } ?? 1
    metadata = .png(chunks)
    note = nil
  }

  private init(jpeg bytes: [UInt8], path: String) throws {
    var header = tsdf_jpeg_header()
    try call(path) { tsdf_jpeg_read_header(bytes, bytes.count, &header, $0, $1) }
    let (width, height) = (Int(header.width), Int(header.height))
    // An empty progressive scan costs a few bits for 64 pixels.
    try checkSize(width, height, bytesPerPixel: 1, ratio: 4000, bytes.count, path)
    var (pixels, markers) = try decodeJPEG(bytes, count: width * height * Int(header.channels), path)
    var segments = JPEGSegments(markers)
    orientation = segments.exif.map(exifOrientation) ?? 1
    type = .jpeg
    if header.channels == 4 {
      // Without the profile's own transform: what a viewer that ignores profiles shows.
      var rgb = [UInt8](repeating: 0, count: width * height * 3)
      for i in 0..<width * height {
        let light = 255 - Int(pixels[4 * i + 3])
        for channel in 0..<3 { rgb[3 * i + channel] = UInt8((255 - Int(pixels[4 * i + channel])) * light / 255) }
      }
      pixels = rgb
      segments.removeColorProfile()
      note = "CMYK converted to RGB"
    } else {
      note = nil
    }
    image = Image(width: width, height: height, channels: header.channels == 1 ? 1 : 3, bytes: pixels)
    metadata = .jpeg(segments)
  }

  /// The bytes of this picture as a file of `type`, with the metadata of the file it was read from. Going from one type
  /// to the other keeps the EXIF data and the colour profile.
  /// - Parameter quality: 1...100, for JPEG; colours are not subsampled. JPEG drops alpha and 16-bit precision.
  public func encoded(as type: ImageType, quality: Int = 95) throws -> Data {
    switch type {
    case .png:
      return PNGChunks.inserting(metadata.asPNG, into: try encodePNG(image))
    case .jpeg:
      return try encodeJPEG(image, quality: quality, markers: metadata.asJPEG.bytes)
    }
  }
}

/// An image as a bare PNG file.
public func encodePNG(_ image: Image) throws -> Data {
  var header = tsdf_png_header()
  header.width = UInt32(image.width)
  header.height = UInt32(image.height)
  header.channels = Int32(image.channels)
  header.bit_depth = Int32(image.bitDepth)
  var data: UnsafeMutablePointer<UInt8>?
  var size = 0
  try call("PNG") { tsdf_png_encode(&header, image.bytes, &data, &size, $0, $1) }
  return Data(bytesNoCopy: data!, count: size, deallocator: .free)
}

/// How many samples a JPEG file has of the colours.
public enum ChromaSubsampling: Sendable {
  /// As many as of the lightness (4:4:4).
  case full
  /// Half as many in both directions (4:2:0): what cameras and sites write.
  case halved
}

/// An image as a JPEG file with the given segments.
public func encodeJPEG(_ image: Image, quality: Int, subsampling: ChromaSubsampling = .full, markers: [UInt8] = [])
  throws
  -> Data
{
  var header = tsdf_jpeg_header()
  header.width = UInt32(image.width)
  header.height = UInt32(image.height)
  header.channels = Int32(image.colorChannels)
  var plain = image.bytes
  if image.hasAlpha || image.bitDepth == 16 {
    plain = (0..<image.width * image.height).flatMap { i in
      (0..<image.colorChannels).map { UInt8(image.sample(i, $0) >> (image.bitDepth - 8)) }
    }
  }
  var data: UnsafeMutablePointer<UInt8>?
  var size = 0
  try call("JPEG") {
    tsdf_jpeg_encode(
      &header, plain, Int32(quality), subsampling == .halved ? 1 : 0, markers, markers.count, &data, &size, $0, $1)
  }
  return Data(bytesNoCopy: data!, count: size, deallocator: .free)
}

/// The picture after a JPEG round trip at a quality: what a site that recompresses makes of it.
public func jpegRoundTrip(_ image: Image, quality: Int, subsampling: ChromaSubsampling = .full) throws -> Image {
  let data = [UInt8](try encodeJPEG(image, quality: quality, subsampling: subsampling))
  let (pixels, _) = try decodeJPEG(data, count: image.width * image.height * image.colorChannels, "JPEG")
  return Image(width: image.width, height: image.height, channels: image.colorChannels, bytes: pixels)
}

/// The `count` samples of a JPEG file's bytes, and its segments that a copy should keep.
private func decodeJPEG(_ bytes: [UInt8], count: Int, _ path: String) throws -> (pixels: [UInt8], markers: [UInt8]) {
  var markers: UnsafeMutablePointer<UInt8>?
  var markersSize = 0
  let pixels = try [UInt8](unsafeUninitializedCapacity: count) { target, initialized in
    try call(path) {
      tsdf_jpeg_decode(bytes, bytes.count, target.baseAddress!, &markers, &markersSize, $0, $1)
    }
    initialized = count
  }
  defer { free(markers) }
  return (pixels, Array(UnsafeBufferPointer(start: markers, count: markersSize)))
}

private func exifOrientation(_ exif: [UInt8]) -> Int { Int(tsdf_exif_orientation(exif, exif.count)) }

/// Calls into a codec, turning its message into an error.
private func call(_ path: String, _ body: (UnsafeMutablePointer<CChar>, Int) -> Int32) throws {
  var message = [CChar](repeating: 0, count: 256)
  guard body(&message, message.count) == 0 else {
    throw FileError(path, message.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
  }
}

/// Refuses a header that promises more pixels than are handled, or than the file can hold: before memory is taken.
private func checkSize(_ width: Int, _ height: Int, bytesPerPixel: Int, ratio: Int, _ fileSize: Int, _ path: String)
  throws
{
  guard width * height <= ImageFile.largestPixelCount else {
    throw FileError(path, "has \(width) x \(height) pixels; at most \(ImageFile.largestPixelCount) are handled")
  }
  guard width * height * bytesPerPixel / ratio <= fileSize else {
    throw FileError(path, "is truncated: \(width) x \(height) pixels cannot be in \(fileSize) bytes")
  }
}
