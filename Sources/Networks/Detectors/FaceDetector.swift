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

  /// Those of some images of the batch.
  package func slice(_ images: Range<Int>) throws -> DetectorHeads {
    DetectorHeads(
      confidence: try confidence.slice(images), location: try location.slice(images),
      features: try features.map { try $0.slice(images) }, maxOutPriors: maxOutPriors)
  }

  /// Face logit less background logit, [N, priors].
  public func margins() throws -> Tensor {
    let shape = Array(confidence.shape.prefix(2))
    return try confidence.sliced(axis: 2, 1..<2).reshaped(shape) - confidence.sliced(axis: 2, 0..<1).reshaped(shape)
  }
}

@available(*, unavailable)
extension DetectorHeads: Sendable {}

/// A network that finds faces in images of any size and can be differentiated.
public protocol FaceDetector: FaceFinder {
  /// Where checkpoints nest the network, the most wanted first.
  static var checkpointKeys: [String] { get }

  /// The parameters of a checkpoint under official names.
  /// - Throws: `FileError` naming a tensor that is missing, of the wrong shape or too many.
  init(_ state: StateDictionary) throws

  /// The dense stage on images [N, 3, H, W] in [-1, 1].
  func heads(_ images: Tensor) throws -> DetectorHeads

  /// The margins of `heads` (face less background logits, [N, priors]) where `relevant` is true; elsewhere they may be
  /// left at 0, which saves a detector with a pyramid the levels that do not matter.
  func margins(_ images: Tensor, where relevant: [Bool]) throws -> Tensor

  /// The boxes in pixels that the priors of `heads` stand for, in their order.
  func priorBoxes(height: Int, width: Int) -> [Box]

  /// The regressed boxes of `heads`, [N, priors, 4] as centre, width, height in pixels: differentiable.
  func decodedBoxes(_ location: Tensor, height: Int, width: Int) throws -> Tensor

  /// The boxes of the faces that `detect` finds, best first, by what `heads` said of one image; nil where it takes more than that.
  /// - Parameters:
  ///   - heads: of one image, outside any graph.
  ///   - height: the image's.
  ///   - width: likewise.
  ///   - threshold: the least score, 0...1.
  func faces(in heads: DetectorHeads, height: Int, width: Int, threshold: Float) throws -> [Box]?

  /// A loss of its own that hides the faces of each image, [N], 0 where all are hidden; nil where there is none better than one made of
  /// margins.
  /// - Parameters:
  ///   - images: [N, 3, H, W] in [-1, 1].
  ///   - relevant: the priors of `heads` that matter in each image, as for `margins`.
  func hidingLoss(_ images: Tensor, where relevant: [[Bool]]) throws -> Tensor?

  /// Whether it sees pictures at a size of its own: then what it says of a face depends on how large the whole picture is, and
  /// a part cut out tells nothing of it.
  var resizesPictures: Bool { get }

  /// The largest area of a prior that a small false face can be made of on background; nil where later stages would
  /// reject it.
  var inventablePriorArea: Float? { get }
}

extension FaceDetector {
  /// Of a safetensors file, and of PyTorch's checkpoints.
  public static var fileExtensions: [String] { ["safetensors", "pth", "pt", "ckpt"] }

  /// The parameters of a safetensors file or a PyTorch checkpoint.
  public init(contentsOf url: URL, on device: any Device) throws {
    try self.init(StateDictionary.read(url, under: Self.checkpointKeys, on: device).state)
  }

  /// Where PyTorch's users commonly put it.
  public static var checkpointKeys: [String] { ["state_dict", "model_state_dict", "weight", "model"] }

  /// Regressions in units of the priors, as most detectors of one shot have them.
  public func decodedBoxes(_ location: Tensor, height: Int, width: Int) throws -> Tensor {
    try SingleShot.decoded(location, priorBoxes(height: height, width: width))
  }

  /// All margins, whatever matters.
  public func margins(_ images: Tensor, where relevant: [Bool]) throws -> Tensor { try heads(images).margins() }

  /// Nil: there is a cascade behind the dense stage.
  public func faces(in heads: DetectorHeads, height: Int, width: Int, threshold: Float) throws -> [Box]? { nil }

  /// Nil: none better than one made of margins.
  public func hidingLoss(_ images: Tensor, where relevant: [[Bool]]) throws -> Tensor? { nil }

  /// False: it takes pictures as they are.
  public var resizesPictures: Bool { false }
}

/// The face probability for a margin of logits.
package func probability(_ margin: Float) -> Float { 1 / (1 + exp(-margin)) }
