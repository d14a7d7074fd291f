import Dispatch
import Foundation
import Kernels

/// Peak signal-to-noise ratio in decibels of two pictures' planes in [-1, 1], on [0, 1] (data range 1); infinite when equal.
public func psnr(_ a: [Float], _ b: [Float]) -> Double {
  precondition(a.count == b.count && !a.isEmpty, "pictures of one size")
  let sum = zip(a, b).reduce(0.0) { $0 + pow(Double($1.0 - $1.1) / 2, 2) }
  return sum == 0 ? .infinity : -10 * log10(sum / Double(a.count))
}

/// Structural similarity (Wang et al., 2004) of two pictures' planes [3, height, width] in [-1, 1], on [0, 1]: uniform
/// 3x3 windows, sample covariances, mean over windows and channels; `range` is the data range, that of `b` by default.
/// These are scikit-image's conventions. Windows reach no further than the picture; each side needs 3 pixels.
public func ssim(_ a: [Float], _ b: [Float], height: Int, width: Int, range: Double? = nil) -> Double {
  let area = height * width
  precondition(a.count == 3 * area && b.count == 3 * area, "three planes of the picture's size")
  guard height >= 3, width >= 3 else { return a == b ? 1 : 0 }
  let spread = range ?? (Double(b.max()!) - Double(b.min()!)) / 2
  let (c1, c2) = (pow(0.01 * spread, 2), pow(0.03 * spread, 2))
  let rows = 3 * (height - 2)
  var sums = [Double](repeating: 0, count: rows)
  a.withUnsafeBufferPointer { a in
    b.withUnsafeBufferPointer { b in
      sums.withUnsafeMutableBufferPointer { sums in
        nonisolated(unsafe) let (a, b, sums) = (a, b, sums)
        DispatchQueue.concurrentPerform(iterations: rows) { row in
          let start = row / (height - 2) * area + row % (height - 2) * width
          sums[row] = ssimRow(a.baseAddress! + start, b.baseAddress! + start, width: width, c1, c2)
        }
      }
    }
  }
  return sums.reduce(0, +) / Double(rows * (width - 2))
}

/// The sum of the similarities of the windows along one row of a plane; `a` and `b` point at the windows' top left.
private func ssimRow(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, width: Int, _ c1: Double, _ c2: Double)
  -> Double
{
  // Untouched rows, most of a photo, are perfectly alike.
  if memcmp(a, b, 3 * width * 4) == 0 { return Double(width - 2) }
  var total = 0.0
  for x in 0..<width - 2 {
    var (sa, sb, saa, sbb, sab) = (0.0, 0.0, 0.0, 0.0, 0.0)
    for dy in 0..<3 {
      for dx in 0..<3 {
        let at = dy &* width &+ x &+ dx
        let (u, v) = ((Double(a[at]) + 1) / 2, (Double(b[at]) + 1) / 2)
        sa += u
        sb += v
        saa += u * u
        sbb += v * v
        sab += u * v
      }
    }
    let (ma, mb) = (sa / 9, sb / 9)
    // Sample covariance: over n - 1.
    let (va, vb, vab) = ((saa - 9 * ma * ma) / 8, (sbb - 9 * mb * mb) / 8, (sab - 9 * ma * mb) / 8)
    let denominator = (ma * ma + mb * mb + c1) * (va + vb + c2)
    total += denominator == 0 ? 1 : (2 * ma * mb + c1) * (2 * vab + c2) / denominator
  }
  return total
}
