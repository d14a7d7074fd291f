extension CPUDevice: NormalizationKernels {
  package func normalize(
    _ x: Buffer, gamma: Buffer, beta: Buffer, residual: Buffer?, into y: Buffer, statistics: Buffer,
    _ geometry: NormGeometry, slope: Float
  ) throws {
    let residual = try residual?.floats
    let (x, y, gamma, beta, statistics) = try (x.floats, y.floats, gamma.floats, beta.floats, statistics.floats)
    let count = Float(geometry.planes * geometry.area)
    parallel(geometry.groups) { groups in
      for group in groups {
        let mean = geometry.sum(group) { x[$0] } / count
        let variance = geometry.sum(group) { (x[$0] - mean) * (x[$0] - mean) } / count
        let inverse =
          1
          / (geometry.isUnbiased
            ? (variance * count / max(count - 1, 1)).squareRoot() + geometry.epsilon
            : (variance + geometry.epsilon).squareRoot())
        let scale = inverse * gamma[group % geometry.channels]
        let shift = beta[group % geometry.channels] - mean * scale
        geometry.forEach(group) {
          let v = x[$0] * scale + shift
          y[$0] = max(v, 0) + slope * min(v, 0) + (residual?[$0] ?? 0)
        }
        statistics[2 * group] = mean
        statistics[2 * group + 1] = inverse
      }
    }
  }

  package func normalizeGradient(
    _ x: Buffer, _ dy: Buffer, gamma: Buffer, beta: Buffer, statistics: Buffer, into dx: Buffer, sums: Buffer,
    _ geometry: NormGeometry, slope: Float
  ) throws {
    let (x, dy, dx, gamma, beta) = try (x.floats, dy.floats, dx.floats, gamma.floats, beta.floats)
    let (statistics, sums) = try (statistics.floats, sums.floats)
    let count = Float(geometry.planes * geometry.area)
    parallel(geometry.groups) { groups in
      for group in groups {
        let (mean, inverse) = (statistics[2 * group], statistics[2 * group + 1])
        let (scale, shift) = (gamma[group % geometry.channels], beta[group % geometry.channels])
        func normal(_ i: Int) -> Float { (x[i] - mean) * inverse }
        func masked(_ i: Int) -> Float { normal(i) * scale + shift > 0 ? dy[i] : slope * dy[i] }
        let product = geometry.sum(group) { masked($0) * normal($0) }
        let total = geometry.sum(group) { masked($0) }
        let k = geometry.correction(inverse)
        let (meanProduct, meanTotal) = (product / count * k, total / count)
        geometry.forEach(group) {
          dx[$0] = scale * inverse * (masked($0) - meanTotal - normal($0) * meanProduct)
        }
        sums[2 * group] = product
        sums[2 * group + 1] = total
      }
    }
  }

  package func normalizeSecondGradient(
    _ x: Buffer, _ dy: Buffer, _ u: Buffer, gamma: Buffer, beta: Buffer, statistics: Buffer, into dx: Buffer,
    ddy: Buffer, dgamma: Buffer, _ geometry: NormGeometry, slope: Float
  ) throws {
    let (x, dy, u, gamma, beta) = try (x.floats, dy.floats, u.floats, gamma.floats, beta.floats)
    let (statistics, dx, ddy, dgamma) = try (statistics.floats, dx.floats, ddy.floats, dgamma.floats)
    let count = Float(geometry.planes * geometry.area)
    parallel(geometry.groups) { groups in
      for group in groups {
        let (mean, inverse) = (statistics[2 * group], statistics[2 * group + 1])
        let scale = gamma[group % geometry.channels]
        let shift = beta[group % geometry.channels]
        func normal(_ i: Int) -> Float { (x[i] - mean) * inverse }
        func slopeAt(_ i: Int) -> Float { normal(i) * scale + shift > 0 ? 1 : slope }
        let meanU = geometry.sum(group) { u[$0] } / count
        let meanM = geometry.sum(group) { slopeAt($0) * dy[$0] } / count
        func outer(_ i: Int) -> Float { u[i] - meanU }
        func inner(_ i: Int) -> Float { slopeAt(i) * dy[i] - meanM }
        let a = geometry.sum(group) { outer($0) * normal($0) }
        let b = geometry.sum(group) { inner($0) * normal($0) }
        let c = geometry.sum(group) { outer($0) * inner($0) }
        let k = geometry.correction(inverse)
        let share = geometry.epsilon * inverse
        let q = geometry.isUnbiased ? 3 + share / max(1 - share, 1e-6) : 3
        let product = k * a * b / count
        let factor = -scale * inverse * inverse * k / count
        geometry.forEach(group) {
          let (h, v, m) = (normal($0), outer($0), inner($0))
          ddy[$0] = slopeAt($0) * scale * inverse * (v - h * k * a / count)
          dx[$0] = factor * (h * (c - q * product) + b * v + a * m)
        }
        dgamma[group] = inverse * (c - product)
      }
    }
  }
}

extension NormGeometry {
  /// By how much more than under the biased variance the statistics follow the elements; `inverse` is 1 / deviation.
  fileprivate func correction(_ inverse: Float) -> Float {
    let count = Float(planes * area)
    return isUnbiased ? count / max(count - 1, 1) / max(1 - epsilon * inverse, 1e-6) : 1
  }

  /// Calls `body` with the position of every element of a group.
  @inline(__always)
  fileprivate func forEach(_ group: Int, _ body: (Int) -> Void) {
    for plane in 0..<planes {
      let start = group * area + plane * planeStride
      for i in start..<start + area { body(i) }
    }
  }

  /// The sum of `value` over a group: four partial sums, for speed and accuracy.
  @inline(__always)
  fileprivate func sum(_ group: Int, _ value: (Int) -> Float) -> Float {
    var lanes = SIMD4<Float>.zero
    for plane in 0..<planes {
      let start = group * area + plane * planeStride
      let whole = start + area / 4 * 4
      for i in stride(from: start, to: whole, by: 4) {
        lanes += SIMD4(value(i), value(i &+ 1), value(i &+ 2), value(i &+ 3))
      }
      for i in whole..<start + area { lanes[0] += value(i) }
    }
    return lanes.sum()
  }
}
