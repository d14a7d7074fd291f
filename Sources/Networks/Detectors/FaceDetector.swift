import Foundation
import Kernels
import Pictures

/// What a detector's dense stage says of a batch, before any threshold: differentiable.
public struct DetectorHeads {
  /// Logits [N, priors, 2], background first.
  public let confidence: Tensor
  /// Box regressions [N, priors, 4], in the detector's own encoding.
  public let location: Tensor
  /// Three feature levels (method section 4), fine to coarse; fewer where the network has fewer.
  public let features: [Tensor]
  /// How many of the first priors have several background logits, of which the largest counts (max-out).
  public var maxOutPriors = 0

  /// Face logit less background logit, [N, priors].
  public func margins() throws -> Tensor {
    let shape = Array(confidence.shape.prefix(2))
    return try confidence.sliced(axis: 2, 1..<2).reshaped(shape) - confidence.sliced(axis: 2, 0..<1).reshaped(shape)
  }
}

@available(*, unavailable)
extension DetectorHeads: Sendable {}

/// A network that finds faces in images of any size and can be differentiated.
public protocol FaceDetector: SendableMetatype {
  /// The name on the command line; of a type with several networks, what their names begin with.
  static var name: String { get }
  /// This network's name on the command line.
  var modelName: String { get }
  /// Where checkpoints nest the network, the most wanted first.
  static var checkpointKeys: [String] { get }

  /// The parameters of a checkpoint under official names.
  /// - Throws: `FileError` naming a tensor that is missing, of the wrong shape or too many.
  init(_ state: StateDictionary) throws

  /// The faces in one image [1, 3, H, W] in [-1, 1], with scores of at least `threshold`, best first.
  func detect(_ image: Tensor, threshold: Float) throws -> [Detection]

  /// The same for each image of a batch [N, 3, H, W].
  func detect(each images: Tensor, threshold: Float) throws -> [[Detection]]

  /// In what pieces it looks at large photos.
  var tiling: DetectorTiling { get }

  /// The dense stage on images [N, 3, H, W] in [-1, 1].
  func heads(_ images: Tensor) throws -> DetectorHeads

  /// The margins of `heads` (face less background logits, [N, priors]) where `relevant` is true; elsewhere they may be
  /// left at 0, which saves a detector with a pyramid the levels that do not matter.
  func margins(_ images: Tensor, where relevant: [Bool]) throws -> Tensor

  /// The boxes in pixels that the priors of `heads` stand for, in their order.
  func priorBoxes(height: Int, width: Int) -> [Box]

  /// The regressed boxes of `heads`, [N, priors, 4] as centre, width, height in pixels: differentiable.
  func decodedBoxes(_ location: Tensor, height: Int, width: Int) throws -> Tensor

  /// What later stages, if there are any, would say of regions of each image: face less background logits, one a region
  /// and stage, of at least one region. Nil without later stages.
  func regionMargins(_ images: Tensor, regions: [[Box]]) throws -> Tensor?

  /// A loss of its own that hides the faces of each image, [N], 0 where all are hidden; nil where there is none better than one made of
  /// margins.
  /// - Parameter relevant: the priors of `heads` that matter, as for `margins`.
  func hidingLoss(_ images: Tensor, where relevant: [Bool]) throws -> Tensor?

  /// The regions of one image that its later stages look at, the most promising first; empty without later stages.
  func candidateRegions(_ image: Tensor) throws -> [Box]

  /// Whether it sees pictures at a size of its own: then what it says of a face depends on how large the whole picture is, and
  /// a part cut out tells nothing of it.
  var resizesPictures: Bool { get }

  /// The largest area of a prior that a small false face can be made of on background; nil where later stages would
  /// reject it.
  var inventablePriorArea: Float? { get }
}

/// Pictures with a longer side are shrunk to this for detectors, where nothing else is asked for.
public let defaultLongestSide = 1280

/// The score from which on a find is a face, where nothing else is asked for.
public let defaultDetectionThreshold: Float = 0.7

extension FaceDetector {
  public static var checkpointKeys: [String] { ["state_dict", "model_state_dict", "weight", "model"] }

  public var modelName: String { Self.name }

  public func margins(_ images: Tensor, where relevant: [Bool]) throws -> Tensor { try heads(images).margins() }

  public func hidingLoss(_ images: Tensor, where relevant: [Bool]) throws -> Tensor? { nil }

  public var resizesPictures: Bool { false }

  public var tiling: DetectorTiling { .standard }

  public func detect(each images: Tensor, threshold: Float) throws -> [[Detection]] {
    try (0..<images.shape[0]).map { try detect(images.slice($0..<$0 + 1), threshold: threshold) }
  }

  public func candidateRegions(_ image: Tensor) throws -> [Box] { [] }

  public func regionMargins(_ images: Tensor, regions: [[Box]]) throws -> Tensor? { nil }

  /// The faces in a picture, which is shrunk first when its longer side exceeds `longestSide`.
  /// - Parameter change: what is done to it as the detector is to see it, [1, 3, H, W] in [-1, 1], whose size stays.
  public func detect(
    _ image: Image, threshold: Float = defaultDetectionThreshold, longestSide: Int = defaultLongestSide,
    on device: any Device,
    change: (Tensor) throws -> Tensor = { $0 }
  ) throws -> [Detection] {
    let seen = try change(image.tensor(shrunkTo: longestSide, on: device))
    let (x, y) = (Float(image.width) / Float(seen.shape[3]), Float(image.height) / Float(seen.shape[2]))
    return try detect(seen, threshold: threshold).map { $0.scaled(x: x, y: y) }
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

extension FaceDetector {
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

/// The face probability for a margin of logits.
package func probability(_ margin: Float) -> Float { 1 / (1 + exp(-margin)) }
