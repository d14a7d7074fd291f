import Pictures

/// A face that a detector found.
public struct Detection: Codable, Equatable, Sendable {
  /// Where the face is, in pixels of the image that was looked at.
  public var box: Box
  /// The probability of a face, 0...1.
  public var score: Float
  /// Eyes, nose, corners of the mouth, likewise in pixels; empty where the detector has not these five.
  public var landmarks: [Point]

  /// A face with these values.
  public init(box: Box, score: Float, landmarks: [Point]) {
    (self.box, self.score, self.landmarks) = (box, score, landmarks)
  }

  func scaled(x: Float, y: Float) -> Detection {
    Detection(box: box.scaled(x: x, y: y), score: score, landmarks: landmarks.map { Point(x: $0.x * x, y: $0.y * y) })
  }

  func shifted(x: Float, y: Float) -> Detection {
    Detection(
      box: box.shifted(x: x, y: y), score: score, landmarks: landmarks.map { Point(x: $0.x + x, y: $0.y + y) })
  }
}

/// How two overlapping boxes are measured in non-maximum suppression.
package enum Overlap: Sendable {
  /// Shared area over the area of both.
  case union
  /// Shared area over the smaller one's.
  case minimum
}

/// Non-maximum suppression: the indices kept, best score first; a box goes when it overlaps a better one by more than
/// `threshold`.
/// - Parameter pixelInclusive: count edges as MTCNN does, a box from 3 to 3 being one pixel wide.
package func nonMaximumSuppression(
  _ boxes: [Box], scores: [Float], threshold: Float, overlap: Overlap = .union, pixelInclusive: Bool = false
) -> [Int] {
  let extra: Float = pixelInclusive ? 1 : 0
  func area(_ b: Box) -> Float { (b.width + extra) * (b.height + extra) }
  // Of equal scores the first goes first, but MTCNN's own (NumPy's) takes the last; clipped crops do score the same.
  let order = scores.indices.sorted {
    scores[$0] != scores[$1] ? scores[$0] > scores[$1] : ($0 < $1) != pixelInclusive
  }
  return nonMaximumSuppression(boxes, order: order) { a, b in
    let shared =
      max(0, min(a.x1, b.x1) - max(a.x0, b.x0) + extra) * max(0, min(a.y1, b.y1) - max(a.y0, b.y0) + extra)
    let whole = overlap == .union ? area(a) + area(b) - shared : min(area(a), area(b))
    return shared > threshold * whole
  }
}

/// Non-maximum suppression by any measure: of the indices in `order`, best first, those kept; a box goes when a better one
/// that is kept joins it, being of the same face.
func nonMaximumSuppression(_ boxes: [Box], order: [Int], joins: (_ better: Box, _ other: Box) -> Bool) -> [Int] {
  var removed = [Bool](repeating: false, count: boxes.count)
  var kept: [Int] = []
  for (rank, i) in order.enumerated() where !removed[i] {
    kept.append(i)
    for j in order[(rank + 1)...] where !removed[j] && joins(boxes[i], boxes[j]) { removed[j] = true }
  }
  return kept
}

/// Weighted non-maximum suppression (Bazarevsky et al., "BlazeFace", 2019), best score first: a face takes in every box that
/// overlaps its own by more than `threshold` of the area of both, and its box becomes their mean, each weighed by its score.
/// Landmarks and score stay the best one's.
package func weightedSuppression(_ faces: [Detection], threshold: Float) -> [Detection] {
  // Of equal scores the first goes first.
  var remaining = faces.indices.sorted {
    faces[$0].score != faces[$1].score ? faces[$0].score > faces[$1].score : $0 < $1
  }.map { faces[$0] }
  var kept: [Detection] = []
  while var best = remaining.first {
    let merged = remaining.filter { $0.box.iou(best.box) > threshold }
    // A box without an area overlaps nothing, not even itself.
    guard !merged.isEmpty else { break }
    remaining.removeAll { $0.box.iou(best.box) > threshold }
    let total = merged.reduce(0) { $0 + $1.score }
    func mean(_ edge: KeyPath<Box, Float>) -> Float {
      merged.reduce(0) { $0 + $1.box[keyPath: edge] * $1.score } / total
    }
    best.box = Box(x0: mean(\.x0), y0: mean(\.y0), x1: mean(\.x1), y1: mean(\.y1))
    kept.append(best)
  }
  return kept
}

/// The faces that were found in a photo: an entry of the list that `tsdf detect` prints.
package struct PhotoDetections: Codable, Equatable, Sendable {
  /// The photo's path.
  package var file: String
  /// Pixels of the photo, upright.
  package var width: Int, height: Int
  package var faces: [Detection]

  package init(file: String, width: Int, height: Int, faces: [Detection]) {
    (self.file, self.width, self.height, self.faces) = (file, width, height, faces)
  }
}
