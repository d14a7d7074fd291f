import Kernels
import Networks
import Pictures

/// A picture that protections are judged on, 8-bit RGB. Detectors look at all of it; generators are given what an attacker
/// would cut out for them.
public struct JudgedPhoto: Sendable {
  /// How it is called in reports.
  public let name: String
  public let image: Image
  /// The squares of its faces.
  public let faces: [Box]
  private let attributes: [String]
  private let labels: [Float]

  /// - Parameter faces: squares at whole pixels within the picture.
  public init(_ image: Image, name: String, faces: [Box], attributes: [String], labels: [Float]) {
    (self.image, self.name, self.faces) = (image, name, faces)
    (self.attributes, self.labels) = (attributes, labels)
  }

  /// What is known of its faces, by name; nothing where a name is not.
  public func labels(named names: [String]) -> [Float] { selectLabels(labels, of: attributes, named: names) }

  /// Aligned faces: the largest centred square of each picture brought to `size` pixels a side, all of it the face.
  public static func aligned(_ dataset: Dataset, size: Int) throws -> [JudgedPhoto] {
    let host = CPUDevice()
    let whole = Box(x0: 0, y0: 0, x1: Float(size), y1: Float(size))
    return try dataset.items.map {
      JudgedPhoto(
        try squareImage($0.image(), size: size, device: host), name: $0.url.lastPathComponent, faces: [whole],
        attributes: dataset.attributes, labels: $0.labels)
    }
  }

  /// Photos as they are, with the faces that a detector finds in them; photos without one are left out.
  public static func photos(_ dataset: Dataset, detector: any FaceFinder, on device: any Device) throws
    -> [JudgedPhoto]
  {
    try dataset.items.compactMap { item in
      let image = try item.image()
      let squares = try detector.faceSquares(in: image, on: device)
      guard !squares.isEmpty else { return nil }
      return JudgedPhoto(
        image.eightBitRGB, name: item.url.lastPathComponent,
        faces: squares, attributes: dataset.attributes, labels: item.labels)
    }
  }
}
