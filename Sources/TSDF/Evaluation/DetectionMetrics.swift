import Foundation
import Networks
import Pictures

/// How far protection breaks a detector (method section 5), the clean image's detections being the truth; accumulated
/// over images. What is a mean is NaN without an image.
public struct DetectionMetrics: Codable, Sendable {
  /// Images judged.
  public private(set) var count = 0
  /// Clean images in which the detector found no face.
  public private(set) var withoutFace = 0
  /// The IoU from which on boxes are of one face.
  private let overlap: Float
  private var precisionSum = 0.0
  private var recallSum = 0.0
  private var duqSum = 0.0
  private var cleanBoxes = 0
  private var protectedBoxes = 0
  private var cleanScore = 0.0
  private var protectedScore = 0.0

  /// - Parameter overlap: the IoU from which on boxes are of one face.
  public init(overlap: Float = 0.7) { self.overlap = overlap }

  /// Adds one image's detections with scores above the default threshold; others are ignored.
  public mutating func add(clean: [Detection], protected: [Detection]) {
    let truth = clean.filter { $0.score > defaultDetectionThreshold }
    let found = protected.filter { $0.score > defaultDetectionThreshold }
    let matches = matchCount(truth.map(\.box), found.map(\.box), threshold: overlap)
    count += 1
    if truth.isEmpty { withoutFace += 1 }
    precisionSum += found.isEmpty ? 1 : Double(matches) / Double(found.count)
    recallSum += truth.isEmpty ? 1 : Double(matches) / Double(truth.count)
    if truth.isEmpty {
      duqSum += found.isEmpty ? 0 : -1
    } else {
      duqSum += Double(matches - (found.count - matches)) / Double(truth.count)
    }
    cleanBoxes += truth.count
    protectedBoxes += found.count
    cleanScore += truth.reduce(0) { $0 + Double($1.score) }
    protectedScore += found.reduce(0) { $0 + Double($1.score) }
  }

  /// Adds what other images gave.
  public mutating func add(_ other: DetectionMetrics) {
    count += other.count
    withoutFace += other.withoutFace
    precisionSum += other.precisionSum
    recallSum += other.recallSum
    duqSum += other.duqSum
    cleanBoxes += other.cleanBoxes
    protectedBoxes += other.protectedBoxes
    cleanScore += other.cleanScore
    protectedScore += other.protectedScore
  }

  /// The mean share, in percent, of the protected image's boxes that match a clean one; 100 where it has none.
  public var precision: Double { 100 * precisionSum / Double(count) }
  /// The mean share, in percent, of the clean image's boxes that are matched; 100 where it has none.
  public var recall: Double { 100 * recallSum / Double(count) }
  /// The harmonic mean of precision and recall, in percent.
  public var f1: Double {
    let (p, r) = (precision, recall)
    return p + r == 0 ? 0 : 2 * p * r / (p + r)
  }
  /// The data usability quotient, at most 1: matched boxes less false ones, over the clean image's boxes; a mean over images.
  public var duq: Double { duqSum / Double(count) }
  /// Change of the mean score of a box; NaN when one side has none.
  public var confidenceChange: Double { protectedScore / Double(protectedBoxes) - cleanScore / Double(cleanBoxes) }
  /// Change of the number of boxes, in percent of the clean ones.
  public var boxCountChange: Double { 100 * (Double(protectedBoxes) / Double(cleanBoxes) - 1) }
}

/// How many clean boxes a protected box matches at an IoU of at least a threshold, each box used once, best overlaps first.
func matchCount(_ clean: [Box], _ protected: [Box], threshold: Float) -> Int {
  let pairs = clean.indices.flatMap { c in protected.indices.map { (c, $0, clean[c].iou(protected[$0])) } }
    .filter { $0.2 >= threshold }.sorted { $0.2 > $1.2 }
  var (usedClean, usedProtected) = (Set<Int>(), Set<Int>())
  for (c, p, _) in pairs where !usedClean.contains(c) && !usedProtected.contains(p) {
    usedClean.insert(c)
    usedProtected.insert(p)
  }
  return usedClean.count
}
