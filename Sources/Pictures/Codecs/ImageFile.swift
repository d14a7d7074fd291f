import CCodecs
import Foundation
import Kernels
import Synchronization
import SystemPackage

/// A picture as a file holds it: pixels as stored, and everything else that a copy should keep.
public struct ImageFile: Sendable {
  /// The pixels, in the bit depth and the channels that are stored.
  public var image: Image
  /// What the file was, told by its contents.
  public let type: ImageType
  /// The EXIF orientation (1...8) of the first directory, the photo's; `image` is as stored, not turned.
  public let orientation: Int
  /// What is odd about the file or was done to read it, for people.
  public let notes: [String]
  /// What the file holds beside the picture, of which a copy is made without.
  public let leftOut: LeftOut
  private var metadata: PictureMetadata
  /// How the file stores its pixels, which copies of the same type follow.
  private var storage: tsdf_picture

  /// Reads and decodes a file; what it is is judged by its contents.
  /// - Throws: `FileError` naming the file and what is wrong with it.
  public init(contentsOf url: URL) throws { try self.init(contents(of: FilePath(url.path)), path: url.path) }

  /// Decodes a file's bytes.
  /// - Parameters:
  ///   - data: the file's bytes.
  ///   - path: for errors.
  public init(_ data: Data, path: String) throws {
    guard !data.isEmpty else { throw FileError(path, "is empty") }
    guard let type = ImageType(data) else {
      throw FileError(path, "is of no type that is read (\(ImageType.allCases.map(\.name).joined(separator: ", ")))")
    }
    self.type = type
    guard let codec = Codec(type) else {
      image = try readBMP(data, path: path)
      (orientation, notes, leftOut, metadata, storage) = (1, [], [], .none, tsdf_picture())
      return
    }
    (image, orientation, notes, leftOut, metadata, storage) = try data.withUnsafeBytes { raw in
      try decode(raw.bindMemory(to: UInt8.self), type, codec, path)
    }
  }

  /// A picture that no file holds yet.
  init(_ image: Image, type: ImageType) {
    (self.image, self.type, orientation, notes, leftOut) = (image, type, 1, [], [])
    (metadata, storage) = (.none, tsdf_picture())
  }

  /// The colour profile; empty for none. The EXIF data, from their TIFF header on. The XMP packet.
  package var profile: Data { metadata.profile }
  package var exif: Data { metadata.exif }
  package var xmp: Data { metadata.xmp }

  /// Whether its metadata say that tsdf protected the picture: the mark of a copy.
  public var isMarkedProtected: Bool {
    get { metadata.isMarkedProtected }
    set { metadata = metadata.marked(protectedBy: newValue ? "tsdf \(tsdfVersion)" : nil) }
  }

  /// How many samples a JPEG copy has of the colours. All of them, unless it is set, whatever the file has: with half as many a
  /// face that was hidden is found again.
  var subsampling: ChromaSubsampling {
    get { storage.subsampling == 2 ? .halved : .full }
    set { storage.subsampling = newValue == .halved ? 2 : 1 }
  }

  /// The bytes of this picture as a file of `type`, with the metadata of the file it was read from.
  /// - Parameters:
  ///   - type: what it is written as.
  ///   - quality: 1...100, for types that lose something.
  /// - Throws: `FileError` where such a file cannot be written, or cannot hold so large a picture.
  public func encoded(as type: ImageType, quality: Int = 95) throws -> Data {
    try copy(as: type, quality: quality, path: type.name).data
  }

  /// The same, and what a copy of this type cannot keep.
  /// - Parameters:
  ///   - type: what it is written as.
  ///   - quality: 1...100, for types that lose something.
  ///   - path: for errors.
  public func copy(as type: ImageType, quality: Int = 95, path: String) throws -> (data: Data, notes: [String]) {
    var notes: [String] = []
    guard let encode = Codec.encoder(type) else { throw FileError(path, "cannot be written as \(type.name)") }
    guard max(image.width, image.height) <= type.longestSide else {
      throw FileError(
        path,
        "has \(image.width) x \(image.height) pixels; a \(type.name) file has at most \(type.longestSide) a side: use --format png"
      )
    }
    let stored = image.fitted(to: type, notes: &notes)
    var picture = storage
    (picture.width, picture.height) = (UInt32(image.width), UInt32(image.height))
    (picture.channels, picture.bit_depth) = (Int32(stored.channels), Int32(stored.bitDepth))
    picture.orientation = Int32(orientation)
    if self.type != type { picture.compression = 0 }
    if stored.bitDepth == 8 {
      picture.precision = 8
    } else if picture.precision <= 8 || picture.precision == 16 {
      picture.precision = 12
    }
    if picture.transfer != 0, !type.storesHighRange {
      notes.append("high dynamic range: a \(type.name) copy shows as standard range")
    }
    let fitted = metadata.fitted(to: type, notes: &notes)
    var file = tsdf_bytes()
    try tsdf_report.calling(path, notes: &notes) { report in
      stored.bytes.withUnsafeBufferPointer { pixels in
        fitted.withData { encode(&picture, pixels.baseAddress, Int32(quality), $0, &file, report) }
      }
    }
    if type == .tiff, fitted.withData({ tsdf_add_to_tiff(&file, $0) }) != 0 {
      notes.append("EXIF, XMP and IPTC data do not fit into so large a TIFF file: left out of the copy")
    }
    return (Data(bytesNoCopy: file.data, count: file.size, deallocator: .free), notes)
  }
}

extension ImageFile {
  /// Pictures with more pixels are refused: 200 million, as phones' largest, unless it is set for the process.
  public static var largestPixelCount: Int {
    get { pixelLimit.load(ordering: .relaxed) }
    set { pixelLimit.store(newValue, ordering: .relaxed) }
  }

  private static let pixelLimit = Atomic(200_000_000)
}

private typealias Decoded = (Image, Int, [String], LeftOut, PictureMetadata, tsdf_picture)

/// The pixels and metadata of a file that a library reads.
private func decode(_ file: UnsafeBufferPointer<UInt8>, _ type: ImageType, _ codec: Codec, _ path: String) throws
  -> Decoded
{
  let (start, count) = (file.baseAddress!, file.count)
  let isHEIF = type == .heic || type == .avif
  if isHEIF { try checkItems(of: file, path) }
  var (notes, picture) = ([String](), tsdf_picture())
  try tsdf_report.calling(path, notes: &notes) { codec.readHeader(start, count, &picture, $0) }
  notes = []
  let (width, height) = (Int(picture.width), Int(picture.height))
  try checkSize(width, height, path)
  if let ratio = codec.pixelsPerByte, width * height / ratio > count {
    throw FileError(path, "is truncated: \(width) x \(height) pixels cannot be in \(count) bytes")
  }
  let size = width * height * Int(picture.channels) * Int(picture.bit_depth) / 8
  try checkMemory(forPicture: size, path)
  var data = tsdf_metadata()
  var pixels = try [UInt8](unsafeUninitializedCapacity: size) { target, initialized in
    try tsdf_report.calling(path, notes: &notes) {
      codec.decode(start, count, &picture, target.baseAddress!, &data, $0)
    }
    initialized = size
  }
  var leftOut = picture.left_out
  let film: LeftOut = isHEIF && holdsFilm(file) ? .animation : []
  let isTIFF = type == .tiff
  var (metadata, orientation) = PictureMetadata.cleaned(
    &data, file: isTIFF ? file : nil, isTurned: isHEIF, leftOut: &leftOut)
  if isTIFF { orientation = Int(picture.orientation) }
  if picture.is_cmyk != 0 {
    try tsdf_report.calling(path, notes: &notes) { report in
      pixels.withUnsafeMutableBufferPointer {
        metadata.convertCMYK($0.baseAddress!, count: width * height, bitDepth: Int(picture.bit_depth), report)
      }
    }
    pixels.removeLast(size / 4)
    picture.channels = 3
    metadata = metadata.withoutProfile()
  }
  var image = Image(
    width: width, height: height, channels: Int(picture.channels), bitDepth: Int(picture.bit_depth), bytes: pixels)
  if type == .gif { image = image.withoutAlphaIfOpaque() }
  if metadata.hasProfile, metadata.profileChannels != image.colorChannels {
    metadata = metadata.withoutProfile()
    notes.append("its colour profile is not for such a picture: left out of the copy")
  }
  return (image, orientation, notes, LeftOut(leftOut).union(film), metadata, picture)
}

/// Refuses a header that promises more pixels than are handled.
func checkSize(_ width: Int, _ height: Int, _ path: String) throws {
  guard width > 0, height > 0 else { throw FileError(path, "has no pixels") }
  let limit = ImageFile.largestPixelCount
  // Both may be of 32 bits: their product does not fit 64.
  guard width <= limit / height else {
    let millions = (Double(width) * Double(height) / 1e6).rounded(.up)
    throw FileError(
      path,
      "has \(width) x \(height) pixels, \(String(format: "%.0f", millions)) million; at most \(limit / 1_000_000) million are handled "
        + "unless --largest-picture allows more")
  }
}
