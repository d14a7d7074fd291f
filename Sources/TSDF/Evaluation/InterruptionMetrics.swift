import Foundation
import Pictures

/// How far protection breaks a generator's edits (method section 5), accumulated over images.
public struct InterruptionMetrics: Sendable {
  /// Edits judged.
  public private(set) var count = 0
  /// Edits left out because the generator changed nothing (an empty mask).
  public private(set) var emptyMasks = 0
  private var l2Sum = 0.0
  private var successes = 0
  private var ssimSum = 0.0
  private var psnrSum = 0.0
  private var psnrCount = 0

  public init() {}

  /// Adds one edit: the planes [3, height, width] of the original x, its edit y, and the protected image's edit y'.
  public mutating func add(original x: [Float], edit y: [Float], protectedEdit yp: [Float], height: Int, width: Int) {
    let area = height * width
    var (sum, masked) = (0.0, 0)
    for i in 0..<area {
      let change = abs(y[i] - x[i]) + abs(y[area + i] - x[area + i]) + abs(y[2 * area + i] - x[2 * area + i])
      guard change > 0.5 else { continue }
      masked += 1
      for channel in 0..<3 { sum += pow(Double(yp[channel * area + i] - y[channel * area + i]), 2) }
    }
    guard masked > 0 else {
      emptyMasks += 1
      return
    }
    let l2 = sum / Double(3 * masked)
    count += 1
    l2Sum += l2
    if l2 > 0.05 { successes += 1 }
    ssimSum += ssim(yp, y, height: height, width: width)
    let noise = psnr(yp, y)
    if noise.isFinite {
      psnrSum += noise
      psnrCount += 1
    }
  }

  /// Mean squared change of the edit inside the edited region; NaN without a judged edit.
  public var l2Mask: Double { l2Sum / Double(count) }
  /// The share of edits with L2mask > 0.05.
  public var successRate: Double { Double(successes) / Double(count) }
  public var ssimMean: Double { ssimSum / Double(count) }
  /// Mean over edits that changed at all.
  public var psnrMean: Double { psnrSum / Double(psnrCount) }
}
