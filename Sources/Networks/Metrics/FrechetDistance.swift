import Foundation

/// The Frechet distance of two sets of features as of normal distributions (Heusel et al., NeurIPS 2017, "GANs Trained by a
/// Two Time-Scale Update Rule"): |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)), C the unbiased covariances. With X the centred
/// features, the last trace is the sum of the singular values of X X'^T over the root of the degrees of freedom, so no
/// matrix as wide as the features is ever made.
/// - Returns: NaN for sets of fewer than two, and of features that are not of one length.
public func frechetDistance(_ a: [[Float]], _ b: [[Float]]) -> Double {
  guard a.count > 1, b.count > 1, (a + b).allSatisfy({ $0.count == a[0].count }) else { return .nan }
  func centred(_ rows: [[Float]]) -> (mean: [Double], rows: [[Double]]) {
    var mean = [Double](repeating: 0, count: rows[0].count)
    for row in rows { for i in row.indices { mean[i] += Double(row[i]) / Double(rows.count) } }
    return (mean, rows.map { row in row.indices.map { Double(row[$0]) - mean[$0] } })
  }
  let (meanA, rowsA) = centred(a)
  let (meanB, rowsB) = centred(b)
  func trace(_ rows: [[Double]]) -> Double {
    rows.reduce(0) { $0 + $1.reduce(0) { $0 + $1 * $1 } } / Double(rows.count - 1)
  }
  let shift = zip(meanA, meanB).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
  let cross = rowsB.map { column in rowsA.map { row in zip(row, column).reduce(0) { $0 + $1.0 * $1.1 } } }
  let common = sumOfSingularValues(columns: cross) / Double((a.count - 1) * (b.count - 1)).squareRoot()
  // Of equal sets it is 0 but for rounding.
  return max(0, shift + trace(rowsA) + trace(rowsB) - 2 * common)
}

/// By one-sided Jacobi rotations (Hestenes, 1958) until all columns are orthogonal: then their lengths are the values.
private func sumOfSingularValues(columns: [[Double]]) -> Double {
  var columns = columns
  func dot(_ a: [Double], _ b: [Double]) -> Double {
    a.withUnsafeBufferPointer { a in
      b.withUnsafeBufferPointer { b in
        var sum = 0.0
        for i in a.indices { sum += a[i] * b[i] }
        return sum
      }
    }
  }
  for _ in 0..<30 {
    var isDone = true
    for p in columns.indices {
      for q in columns.indices where q > p {
        let (alpha, beta, gamma) = (
          dot(columns[p], columns[p]), dot(columns[q], columns[q]), dot(columns[p], columns[q])
        )
        guard abs(gamma) > 1e-12 * (alpha * beta).squareRoot(), gamma != 0 else { continue }
        isDone = false
        let zeta = (beta - alpha) / (2 * gamma)
        let t = (zeta < 0 ? -1 : 1) / (abs(zeta) + (1 + zeta * zeta).squareRoot())
        let c = 1 / (1 + t * t).squareRoot()
        let s = c * t
        for i in columns[p].indices {
          let (x, y) = (columns[p][i], columns[q][i])
          columns[p][i] = c * x - s * y
          columns[q][i] = s * x + c * y
        }
      }
    }
    if isDone { break }
  }
  return columns.reduce(0) { $0 + dot($1, $1).squareRoot() }
}
