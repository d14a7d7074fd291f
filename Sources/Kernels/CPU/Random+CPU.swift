import Foundation

extension CPUDevice: RandomKernels {
  package func random(_ distribution: RandomDistribution, into y: Buffer, count: Int, seed: UInt64, stream: UInt64)
    throws
  {
    let y = try y.floats
    let key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
    let (low, high) = (UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32))
    parallel((count + 3) / 4, grain: 1024) { blocks in
      for block in blocks {
        let bits = philox(SIMD4(UInt32(block), 0, low, high), key)
        for lane in 0..<min(4, count - block * 4) {
          y[block * 4 + lane] = distribution == .uniform ? uniform(bits[lane]) : normal(bits[lane])
        }
      }
    }
  }

  private func uniform(_ bits: UInt32) -> Float { Float(bits >> 8) * 0x1p-24 }

  // The steps of kernels.cl's random section, each exactly rounded, so that the bits agree.

  private func fma(_ a: Float, _ b: Float, _ c: Float) -> Float { c.addingProduct(a, b) }

  private func exactLog(_ x: Float) -> Float {
    let bits = Int32(bitPattern: x.bitPattern)
    let exponent = (bits - 0x3f35_04f3) >> 23
    let m = Float(bitPattern: UInt32(bitPattern: bits &- (exponent << 23)))
    let d = m + 1
    var r = fma(-0.24313, d, 0.98)
    for _ in 0..<3 { r = r * fma(-d, r, 2) }
    let s = (m - 1) * r
    let z = s * s
    let series = fma(z, fma(z, fma(z, 0.22222222, 0.28571429), 0.4), 0.66666667)
    return fma(Float(exponent), 0.69314718, fma(s * z, series, 2 * s))
  }

  private func exactSqrt(_ x: Float) -> Float {
    var r = Float(bitPattern: 0x5f37_59df - (x.bitPattern >> 1))
    for _ in 0..<3 { r = r * fma(-0.5 * x * r, r, 1.5) }
    return x * r
  }

  private func normal(_ bits: UInt32) -> Float {
    let x = fma(Float(bits >> 8), 0x1p-23, 0x1p-24 - 1)
    var w = -exactLog(fma(-x, x, 1))
    let coefficients: [Float]
    if w < 5 {
      w = w - 2.5
      coefficients = Self.central
    } else {
      w = exactSqrt(w) - 3
      coefficients = Self.tail
    }
    let p = coefficients.dropFirst().reduce(coefficients[0]) { fma($0, w, $1) }
    return 1.41421356 * p * x
  }

  /// Giles (2010), "Approximating the erfinv function", single precision.
  private static let central: [Float] = [
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
    0.246640727, 1.50140941,
  ]
  private static let tail: [Float] = [
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047,
    1.00167406, 2.83297682,
  ]
}
