import Foundation
import Pictures

/// How far protection breaks a generator's edits (method section 5), accumulated over images. Means are NaN without a judged edit.
public struct InterruptionMetrics: Codable, Sendable {
  /// Edits judged.
  public private(set) var count = 0
  /// Edits left out because the generator changed nothing (an empty mask).
  public private(set) var emptyMasks = 0
  private var l2Sum = 0.0
  private var successes = 0
  private var ssimSum = 0.0
  private var psnrSum = 0.0
  private var psnrCount = 0

  /// Of no edits yet.
  public init() {}

  /// Adds one edit: the planes [3, height, width] of the original x, its edit y, and the protected image's edit y'.
  public mutating func add(original x: [Float], edit y: [Float], protectedEdit yp: [Float], height: Int, width: Int) {
    guard let l2 = maskedError(original: x, edit: y, other: yp) else {
      emptyMasks += 1
      return
    }
    count += 1
    l2Sum += l2
    if l2 > brokenEdit { successes += 1 }
    ssimSum += ssim(yp, y, height: height, width: width)
    let noise = psnr(yp, y)
    if noise.isFinite {
      psnrSum += noise
      psnrCount += 1
    }
  }

  /// Adds what other images gave.
  public mutating func add(_ other: InterruptionMetrics) {
    count += other.count
    emptyMasks += other.emptyMasks
    l2Sum += other.l2Sum
    successes += other.successes
    ssimSum += other.ssimSum
    psnrSum += other.psnrSum
    psnrCount += other.psnrCount
  }

  /// Mean squared change of the edit inside the edited region.
  public var l2Mask: Double { l2Sum / Double(count) }
  /// The share of edits with L2mask > 0.05 (SR_mask).
  public var successRate: Double { Double(successes) / Double(count) }
  /// The mean structural similarity of the protected image's edit and the original's, at most 1.
  public var ssimMean: Double { ssimSum / Double(count) }
  /// The mean peak signal-to-noise ratio of both in dB, over edits that changed at all.
  public var psnrMean: Double { psnrSum / Double(psnrCount) }
}

/// The mean squared error from which on an edit counts as broken.
let brokenEdit = 0.05

/// L2mask: the mean squared difference of another picture and an edit where the edit changes the original, by more than 0.5 over the
/// channels; nil where it does so nowhere. All are planes [3, height, width].
func maskedError(original: [Float], edit: [Float], other: [Float]) -> Double? {
  let area = original.count / 3
  var (sum, masked) = (0.0, 0)
  for i in 0..<area where isChanged(i, original: original, edit: edit) {
    masked += 1
    for channel in 0..<3 { sum += pow(Double(other[channel * area + i] - edit[channel * area + i]), 2) }
  }
  return masked > 0 ? sum / Double(3 * masked) : nil
}

/// Whether an edit changes a pixel by more than 0.5 over the channels; both are planes [3, height, width].
func isChanged(_ pixel: Int, original: [Float], edit: [Float]) -> Bool {
  let area = original.count / 3
  return (0..<3).reduce(0) { $0 + abs(edit[$1 * area + pixel] - original[$1 * area + pixel]) } > 0.5
}
