import Pictures

/// So many other protected photos, or as many as there are, for attackers who learn from them, each with one of its faces.
/// - Parameter alike: only photos of this one's size; nil for any.
typealias OtherPhotos = (_ count: Int, _ alike: Image?) throws -> [(image: Image, face: Box)]

/// Those that follow a photo, from the first again after the last.
/// - Parameters:
///   - count: of all photos.
///   - photo: one of them; nil where it cannot be learned from.
func others(than index: Int, of count: Int, _ photo: @escaping (Int) throws -> (image: Image, face: Box)?)
  -> OtherPhotos
{
  { wanted, alike in
    var found: [(image: Image, face: Box)] = []
    for step in 1..<max(1, count) where found.count < wanted {
      guard let other = try photo((index + step) % count) else { continue }
      if let alike, other.image.width != alike.width || other.image.height != alike.height { continue }
      found.append(other)
    }
    return found
  }
}

/// Protected photos as they are asked for. The last ones are kept, for attackers who learn from those that follow a photo.
final class ProtectedCopies {
  private let photos: JudgedPhotos
  private let protect: (JudgedPhoto) throws -> Image
  /// Whether any is asked for twice.
  private let isKeeping: Bool
  private var kept: [Int: (photo: JudgedPhoto, image: Image)?] = [:]
  /// What is kept, the oldest first.
  private var order: [Int] = []
  private var bytes = 0
  /// As many bytes of pictures are kept: of faces of 256 pixels, 1,300.
  private static let largest = 512 << 20

  init(_ photos: JudgedPhotos, isKeeping: Bool, protect: @escaping (JudgedPhoto) throws -> Image) {
    (self.photos, self.isKeeping, self.protect) = (photos, isKeeping, protect)
  }

  /// A photo and what is made of it.
  /// - Parameter photo: as it is, where it has been made already.
  /// - Returns: nil where it has no face.
  func callAsFunction(_ index: Int, photo: JudgedPhoto? = nil) throws -> (photo: JudgedPhoto, image: Image)? {
    if let known = kept[index] { return known }
    let made = try (photo ?? photos[index]).map { (photo: $0, image: try protect($0)) }
    guard isKeeping else { return made }
    kept.updateValue(made, forKey: index)
    order.append(index)
    bytes += Self.size(made)
    while bytes > Self.largest, order.count > 1 { bytes -= Self.size(kept.removeValue(forKey: order.removeFirst())!) }
    return made
  }

  private static func size(_ made: (photo: JudgedPhoto, image: Image)?) -> Int {
    made.map { $0.photo.image.bytes.count + $0.image.bytes.count } ?? 0
  }

  func others(than index: Int) -> OtherPhotos {
    TSDF.others(than: index, of: photos.count) { try self($0).map { ($0.image, $0.photo.faces[0]) } }
  }
}
