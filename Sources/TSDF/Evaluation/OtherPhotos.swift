import Pictures

/// So many other protected photos, or as many as there are, for attackers who learn from them, each with one of its faces.
/// - Parameter alike: only photos of this one's size; nil for any.
typealias OtherPhotos = (_ count: Int, _ alike: Image?) throws -> [(image: Image, face: Box)]

/// Those that follow a photo, from the first again after the last.
/// - Parameters:
///   - count: of all photos.
///   - photo: one of them; nil where it cannot be learned from.
func followers(of index: Int, among count: Int, _ photo: @escaping (Int) throws -> (image: Image, face: Box)?)
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

/// Protected photos as they are asked for, some ahead of that, together. The last ones are kept, for attackers who learn from those that
/// follow a photo.
final class ProtectedCopies {
  private typealias Copy = (photo: JudgedPhoto, image: Image)?

  private let photos: JudgedPhotos
  /// The photos that are asked for in their order.
  private let part: Range<Int>
  private let variant: ProtectionVariant
  /// Whether any is asked for twice.
  private let isKeeping: Bool
  private var kept: [Int: Copy] = [:]
  /// What is kept, the oldest first.
  private var order: [Int] = []
  private var bytes = 0
  /// As many bytes of pictures are kept: of faces of 256 pixels, 1,300.
  private static let largest = 512 << 20

  init(_ photos: JudgedPhotos, _ part: Range<Int>, of variant: ProtectionVariant, isKeeping: Bool) {
    (self.photos, self.part, self.variant, self.isKeeping) = (photos, part, variant, isKeeping)
  }

  /// A photo and what is made of it.
  /// - Parameter photo: as it is, where it has been made already.
  /// - Returns: nil where it has no face.
  func callAsFunction(_ index: Int, photo: JudgedPhoto? = nil) throws -> (photo: JudgedPhoto, image: Image)? {
    if kept[index] == nil { try make(from: index, photo) }
    let copy = kept[index]!
    if isKeeping {
      while bytes > Self.largest, order.count > variant.batch { forget(order.removeFirst()) }
    } else {
      forget(index)
    }
    return copy
  }

  /// Makes a photo's copy, and with it those of the photos that are asked for next.
  private func make(from first: Int, _ photo: JudgedPhoto?) throws {
    let next = part.contains(first) ? first..<min(first + variant.batch, part.upperBound) : first..<first + 1
    let missing = next.filter { kept[$0] == nil }
    let originals = try missing.map { try $0 == first ? photo ?? photos[$0] : photos[$0] }
    var images = try variant.protect(originals.compactMap { $0 })[...]
    for (index, original) in zip(missing, originals) {
      let copy = original.map { (photo: $0, image: images.removeFirst()) }
      kept.updateValue(copy, forKey: index)
      order.append(index)
      bytes += Self.size(copy)
    }
  }

  private func forget(_ index: Int) {
    guard let copy = kept.removeValue(forKey: index) else { return }
    bytes -= Self.size(copy)
    if !isKeeping { order.removeAll { $0 == index } }
  }

  private static func size(_ made: Copy) -> Int {
    made.map { $0.photo.image.bytes.count + $0.image.bytes.count } ?? 0
  }

  func others(than index: Int) -> OtherPhotos {
    followers(of: index, among: photos.count) { try self($0).map { ($0.image, $0.photo.faces[0]) } }
  }
}
