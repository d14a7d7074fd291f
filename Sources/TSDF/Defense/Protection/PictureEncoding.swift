import Foundation
import Kernels
import Pictures

/// How a protected picture is saved, so that it is judged as others will read it.
public struct PictureEncoding {
  /// What saving does to pictures, as refinement looks through it; nil where it changes nothing.
  public let view: PurificationRecipe?
  /// The file's bytes of an upright picture, and the upright picture that they hold.
  public let encode: (Image) throws -> Data, decode: (Data) throws -> Image

  /// - Parameters:
  ///   - view: what saving does to pictures; nil where it changes nothing.
  ///   - encode: the file's bytes of an upright picture.
  ///   - decode: the upright picture of such bytes.
  public init(
    view: PurificationRecipe?, encode: @escaping (Image) throws -> Data, decode: @escaping (Data) throws -> Image
  ) {
    (self.view, self.encode, self.decode) = (view, encode, decode)
  }

  /// As a copy of a file, with its metadata, colours and orientation.
  /// - Parameters:
  ///   - file: the file that is copied.
  ///   - type: of the copy; nil for the file's own, or PNG where that is not written.
  ///   - quality: of types that lose something, 1 to 100.
  ///   - isMarking: whether the copy's metadata say that it is protected.
  ///   - path: of the file, for errors.
  ///   - note: is given what the copy cannot keep, for people.
  public init(
    of file: ImageFile, as type: ImageType? = nil, quality: Int = 95, isMarking: Bool = true, path: String,
    note: @escaping ([String]) -> Void = { _ in }
  ) throws {
    let type = type ?? file.type.copyType
    // Types that lose something lose about what a JPEG does.
    let model = type == .jpeg ? "jpeg444" : "jpeg"
    self.init(
      view: type.isExact ? nil : try PurificationRecipe("\(model):\(quality)@photo"),
      encode: { picture in
        var copy = file
        copy.image = picture.stored(as: file.orientation)
        copy.isMarkedProtected = isMarking
        let (data, notes) = try copy.copy(as: type, quality: quality, path: path)
        note(notes)
        return data
      },
      decode: { try ImageFile($0, path: path).image.upright(from: file.orientation) })
  }
}

@available(*, unavailable)
extension PictureEncoding: Sendable {}
