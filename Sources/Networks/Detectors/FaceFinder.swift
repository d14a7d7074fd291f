import Foundation
import Kernels
import Pictures

/// Something that finds faces in images of any size. That is all that judges and attackers ask; protection works against a
/// `FaceDetector`.
public protocol FaceFinder: SendableMetatype {
  /// The name on the command line; of a type with several networks, what their names begin with.
  static var name: String { get }
  /// This one's name on the command line.
  var modelName: String { get }

  /// What the names of files that it is read from end in, the most wanted first.
  static var fileExtensions: [String] { get }

  /// What a file holds.
  /// - Throws: `FileError` when the file is none, or another model's.
  init(contentsOf url: URL, on device: any Device) throws

  /// The faces in one image [1, 3, H, W] in [-1, 1], with scores of at least `threshold`, best first.
  func detect(_ image: Tensor, threshold: Float) throws -> [Detection]

  /// The same for each image of a batch [N, 3, H, W].
  func detect(each images: Tensor, threshold: Float) throws -> [[Detection]]

  /// In what pieces it looks at large photos.
  var tiling: DetectorTiling { get }
}

/// Pictures with a longer side are shrunk to this for detectors, where nothing else is asked for.
public let defaultLongestSide = 1280

/// The score from which on a find is a face, where nothing else is asked for.
public let defaultDetectionThreshold: Float = 0.7

extension FaceFinder {
  /// The type's.
  public var modelName: String { Self.name }

  /// As suits detectors that take pictures as they are.
  public var tiling: DetectorTiling { .standard }

  /// Each image by itself.
  public func detect(each images: Tensor, threshold: Float) throws -> [[Detection]] {
    try (0..<images.shape[0]).map { try detect(images.slice($0..<$0 + 1), threshold: threshold) }
  }

  /// The faces in a picture, which is shrunk first when its longer side exceeds `longestSide`.
  /// - Parameters:
  ///   - image: the picture.
  ///   - threshold: the least score, 0...1.
  ///   - longestSide: larger pictures are shrunk to this first.
  ///   - device: where it is done.
  ///   - change: what is done to it as the detector is to see it, [1, 3, H, W] in [-1, 1], whose size stays.
  public func detect(
    _ image: Image, threshold: Float = defaultDetectionThreshold, longestSide: Int = defaultLongestSide,
    on device: any Device,
    change: (Tensor) throws -> Tensor = { $0 }
  ) throws -> [Detection] {
    let seen = try change(image.tensor(shrunkTo: longestSide, on: device))
    let (x, y) = (Float(image.width) / Float(seen.shape[3]), Float(image.height) / Float(seen.shape[2]))
    return try detect(seen, threshold: threshold).map { $0.scaled(x: x, y: y) }
  }

  /// The square around each face, `margin` times its box, shifted and shrunk to lie in the picture.
  public func faceSquares(in image: Image, margin: Float = 1.5, on device: any Device) throws -> [Box] {
    try detectAll(in: image, on: device).map { face in
      let side = min((max(face.box.width, face.box.height) * margin).rounded(), Float(min(image.width, image.height)))
      let x = max(0, min(Float(image.width) - side, (face.box.centerX - side / 2).rounded()))
      let y = max(0, min(Float(image.height) - side, (face.box.centerY - side / 2).rounded()))
      return Box(x0: x, y0: y, x1: x + side, y1: y + side)
    }
  }
}

extension Image {
  /// The picture as detectors look at it, [1, 3, H, W] in [-1, 1]: shrunk where its longer side exceeds `longestSide`.
  package func tensor(shrunkTo longestSide: Int, on device: any Device) throws -> Tensor {
    let full = try tensor(on: device)
    let scale = Float(longestSide) / Float(max(width, height))
    guard scale < 1 else { return full }
    return try full.resized(
      height: max(1, Int(Float(height) * scale)), width: max(1, Int(Float(width) * scale)), mode: .area)
  }
}
