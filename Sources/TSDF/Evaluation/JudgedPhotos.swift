import Kernels
import Networks
import Pictures

/// Photos to judge, each made when it is asked for, so that memory does not grow with their number.
public struct JudgedPhotos {
  /// Of all photos, those without a face included.
  public let count: Int
  private let photo: (Int) throws -> JudgedPhoto?

  private init(count: Int, photo: @escaping (Int) throws -> JudgedPhoto?) { (self.count, self.photo) = (count, photo) }

  /// These photos.
  public init(_ photos: [JudgedPhoto]) { self.init(count: photos.count) { photos[$0] } }

  /// A photo.
  /// - Parameter index: in 0 ..< `count`.
  /// - Returns: nil where no face is found in it.
  /// - Throws: `FileError` where it cannot be read.
  subscript(index: Int) -> JudgedPhoto? {
    get throws { try photo(index) }
  }

  /// Aligned faces: the largest centred square of each picture brought to `size` pixels a side, all of it the face.
  public static func aligned(_ dataset: Dataset, size: Int) -> JudgedPhotos {
    let (host, items) = (CPUDevice(), dataset.items)
    let whole = Box(x0: 0, y0: 0, x1: Float(size), y1: Float(size))
    return JudgedPhotos(count: dataset.count) {
      let item = items[items.index(items.startIndex, offsetBy: $0)]
      return JudgedPhoto(
        try squareImage(item.image(), size: size, device: host), name: item.url.lastPathComponent, faces: [whole],
        attributes: dataset.attributes, labels: item.labels)
    }
  }

  /// Photos as they are, with the faces that a detector finds in them.
  public static func whole(_ dataset: Dataset, detector: any FaceFinder, on device: any Device) -> JudgedPhotos {
    let items = dataset.items
    return JudgedPhotos(count: dataset.count) {
      let item = items[items.index(items.startIndex, offsetBy: $0)]
      let image = try item.image()
      let squares = try detector.faceSquares(in: image, on: device)
      guard !squares.isEmpty else { return nil }
      return JudgedPhoto(
        image.eightBitRGB, name: item.url.lastPathComponent, faces: squares, attributes: dataset.attributes,
        labels: item.labels)
    }
  }

  /// All that have a face, in memory at once.
  public func all() throws -> [JudgedPhoto] { try (0..<count).compactMap(photo) }
}

@available(*, unavailable)
extension JudgedPhotos: Sendable {}
