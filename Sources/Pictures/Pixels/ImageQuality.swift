import Dispatch
import Foundation

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
          sums[row] = ssimRow(a.baseAddress! + start, b.baseAddress! + start, width: width, Float(c1), Float(c2))
        }
      }
    }
  }
  return sums.reduce(0, +) / Double(rows * (width - 2))
}

/// The sum of the similarities of the windows along one row of a plane; `a` and `b` point at the windows' top left.
private func ssimRow(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, width: Int, _ c1: Float, _ c2: Float)
  -> Double
{
  // Untouched rows, most of a photo, are perfectly alike.
  if memcmp(a, b, 3 * width * 4) == 0 { return Double(width - 2) }
  typealias Lanes = SIMD8<Float>
  // Sums down the columns of u, v, u^2, v^2 and u v on [-1, 1]; a window is three neighbours. Rows end in room for a vector.
  let pitch = width + Lanes.scalarCount
  return withUnsafeTemporaryAllocation(of: Float.self, capacity: 5 * pitch) { sums in
    sums.initialize(repeating: 0)
    let (su, sv) = (sums.baseAddress!, sums.baseAddress! + pitch)
    let (suu, svv, suv) = (su + 2 * pitch, su + 3 * pitch, su + 4 * pitch)
    for x in 0..<width {
      let (u0, u1, u2) = (a[x], a[width &+ x], a[2 &* width &+ x])
      let (v0, v1, v2) = (b[x], b[width &+ x], b[2 &* width &+ x])
      su[x] = u0 + u1 + u2
      sv[x] = v0 + v1 + v2
      suu[x] = u0 * u0 + u1 * u1 + u2 * u2
      svv[x] = v0 * v0 + v1 * v1 + v2 * v2
      suv[x] = u0 * v0 + u1 * v1 + u2 * v2
    }
    var total = 0.0
    for x in stride(from: 0, to: width - 2, by: Lanes.scalarCount) {
      func lanes(_ s: UnsafeMutablePointer<Float>) -> Lanes { UnsafeRawPointer(s).loadUnaligned(as: Lanes.self) }
      func window(_ s: UnsafeMutablePointer<Float>) -> Lanes {
        (lanes(s + x) + lanes(s + x + 1) + lanes(s + x + 2)) / 9
      }
      // Means on [-1, 1]; (m + 1) / 2 and a quarter of the covariances are those on [0, 1].
      let (mu, mv) = (window(su), window(sv))
      // Sample covariance: over n - 1.
      let vu = (window(suu) - mu * mu) * (9.0 / 32)
      let vv = (window(svv) - mv * mv) * (9.0 / 32)
      let vuv = (window(suv) - mu * mv) * (9.0 / 32)
      let (ma, mb) = ((mu + 1) / 2, (mv + 1) / 2)
      let numerator = (2 * ma * mb + c1) * (2 * vuv + c2)
      let denominator = (ma * ma + mb * mb + c1) * (vu + vv + c2)
      var similarity = (numerator / denominator).replacing(with: 1, where: denominator .== 0)
      let count = width - 2 - x
      if count < Lanes.scalarCount {
        similarity.replace(with: 0, where: SIMD8<Int32>(0, 1, 2, 3, 4, 5, 6, 7) .>= Int32(count))
      }
      total += Double(similarity.sum())
    }
    return total
  }
}

/// The peak signal-to-noise ratio of a sum of squared differences; infinite where it is 0.
func decibels(_ squares: Int, samples: Int, peak: Double) -> Double {
  squares == 0 ? .infinity : -10 * log10(Double(squares) / (Double(samples) * peak * peak))
}

/// Structural similarity of two pictures, with a data range of 1, from the windows of at most `rows` rows, evenly spread:
/// a photo's mean is known to a thousandth from few of its rows.
package func sampledSSIM(_ a: Image, _ b: Image, rows: Int = 32) -> Double {
  precondition(a.width == b.width && a.height == b.height, "pictures of one size")
  guard a.width >= 3, a.height >= 3 else { return a.bytes == b.bytes ? 1 : 0 }
  let possible = a.height - 2
  let count = min(rows, possible)
  var total = 0.0
  for index in 0..<count {
    let row = index * possible / count
    let (u, v) = (
      a.cropped(x: 0, y: row, width: a.width, height: 3).planes(),
      b.cropped(x: 0, y: row, width: b.width, height: 3).planes()
    )
    total += ssim(u, v, height: 3, width: a.width, range: 1)
  }
  return total / Double(count)
}
