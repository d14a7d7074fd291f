import Foundation
import Kernels
import Pictures

/// What dlib's two detectors have in common: a window that slides over an image pyramid, a score a position, and no regression:
/// a prior is the box.
///
/// A score is a distance from dlib's decision, a face where it is above 0; dlib's training (max-margin object detection; King,
/// 2015) drives it above 1 on faces and below -1 elsewhere. As a margin of logits it is 4 times that, moved so that the decision
/// falls on the default threshold of all detectors here: the probability is 0.7 at 0, 0.99 at 1, and 0.04 at -1.
protocol DlibDetector: HeadsDetector {
  /// When a found box goes because of a better one.
  var suppression: DlibSuppression { get }
}

/// The thresholds of dlib's non-maximum suppression (its `test_box_overlap`).
package struct DlibSuppression: Sendable {
  /// Shared area over that of the smallest box around both, 0...1.
  let hull: Float
  /// Shared area over that of either box, 0...1.
  let cover: Float

  package init(hull: Float, cover: Float) { (self.hull, self.cover) = (hull, cover) }

  /// - Parameter thresholds: `hull` and `cover`.
  init(_ thresholds: Tensor) throws {
    let values = try thresholds.values()
    self.init(hull: values[0], cover: values[1])
  }

  /// Whether one of two boxes goes because of the other.
  package func joins(_ a: Box, _ b: Box) -> Bool {
    let shared = a.intersection(b)
    let around = Box(x0: min(a.x0, b.x0), y0: min(a.y0, b.y0), x1: max(a.x1, b.x1), y1: max(a.y1, b.y1))
    return shared > 0 && (shared > hull * around.area || shared > cover * min(a.area, b.area))
  }
}

/// Scores of dlib's detectors as margins of logits: `scale` times the score, plus the margin of the default threshold.
private let scale: Float = 4
private let marginOfDecision = logf(defaultDetectionThreshold / (1 - defaultDetectionThreshold))

extension DlibDetector {
  /// The two smallest windows: on all others a false face would not be small.
  package var inventablePriorArea: Float? { 100 * 100 }

  func suppressed(_ found: [Detection]) -> [Detection] {
    let order = found.indices.sorted { (found[$1].score, $0) < (found[$0].score, $1) }
    return nonMaximumSuppression(found.map(\.box), order: order, joins: suppression.joins).map { found[$0] }
  }

  /// Margins of scores of any shape.
  static func margins(_ scores: Tensor) throws -> Tensor { try scores.scaled(by: scale, plus: marginOfDecision) }

  /// The heads of scores [N, priors].
  static func heads(_ scores: Tensor, features: [Tensor]) throws -> DetectorHeads {
    let margins = try margins(scores).reshaped([scores.shape[0], -1, 1])
    return DetectorHeads(
      confidence: try SingleShot.binary(margins),
      location: try Tensor(repeating: 0, shape: [scores.shape[0], scores.shape[1], 4], device: scores.device),
      features: features)
  }
}
