import CCodecs

/// What a file holds beside its picture that a copy will not: the face may be in it, as it was.
public struct LeftOut: OptionSet, Sendable, Hashable {
  public let rawValue: Int

  public init(rawValue: Int) { self.rawValue = rawValue }

  init(_ bits: Int32) { rawValue = Int(bits) }

  /// Small pictures of the same.
  public static let thumbnail = LeftOut(Int32(TSDF_LEFT_OUT_THUMBNAIL))
  /// The frames of an animation after the first.
  public static let animation = LeftOut(Int32(TSDF_LEFT_OUT_ANIMATION))
  /// Pages after the first, second pictures, gain maps, depth.
  public static let pages = LeftOut(Int32(TSDF_LEFT_OUT_PAGES))
  /// Data behind the picture's end: films, further pictures.
  public static let trailer = LeftOut(Int32(TSDF_LEFT_OUT_TRAILER))
  /// What the camera's maker stores in a form of his own.
  public static let makerNote = LeftOut(Int32(TSDF_LEFT_OUT_MAKER_NOTE))
  /// Metadata that hold pictures or their places, or that cannot be unpacked within limits.
  public static let metadata = LeftOut(Int32(TSDF_LEFT_OUT_METADATA))

  private static let names: [(LeftOut, String)] = [
    (.thumbnail, "thumbnails"), (.animation, "the frames after the first"), (.pages, "further pages or pictures"),
    (.trailer, "data behind the picture's end"), (.makerNote, "the camera maker's own notes"),
    (.metadata, "metadata that hold pictures or cannot be read"),
  ]

  private var parts: [String] { Self.names.filter { contains($0.0) }.map(\.1) }
}

extension LeftOut: CustomStringConvertible {
  /// For people: "thumbnails, further pages or pictures".
  public var description: String { parts.joined(separator: ", ") }
}

extension LeftOut: Encodable {
  /// A list of texts.
  public func encode(to encoder: any Encoder) throws { try parts.encode(to: encoder) }
}
