/// A turn, a uniform scaling and a shift of the plane, without reflection: (x, y) goes to (a x - b y + tx, b x + a y +
/// ty).
package struct SimilarityTransform: Equatable, Sendable {
  /// The scale times the cosine and the sine of the angle, and the shift in pixels.
  package var a: Float, b: Float
  package var tx: Float, ty: Float

  /// Brings a square, upright, onto that of `side` pixels at the origin.
  package init(square: Box, side: Int) {
    (a, b) = (Float(side) / square.width, 0)
    (tx, ty) = (-square.x0 * a, -square.y0 * a)
  }

  /// The one that brings points nearest to others in the sum of squared distances (Umeyama, 1991; in the plane, with
  /// points as complex numbers about their means, it is their covariance over the variance of those to be moved). Nil
  /// where the points to be moved are all in one place, or the best scale is 0.
  package init?(from points: [Point], to targets: [Point]) {
    precondition(points.count == targets.count && !points.isEmpty, "a target a point")
    let count = Float(points.count)
    func mean(_ points: [Point]) -> Point {
      Point(x: points.reduce(0) { $0 + $1.x } / count, y: points.reduce(0) { $0 + $1.y } / count)
    }
    let (from, to) = (mean(points), mean(targets))
    var (variance, real, imaginary): (Float, Float, Float) = (0, 0, 0)
    for (point, target) in zip(points, targets) {
      let (px, py, qx, qy) = (point.x - from.x, point.y - from.y, target.x - to.x, target.y - to.y)
      variance += px * px + py * py
      real += px * qx + py * qy
      imaginary += px * qy - py * qx
    }
    (a, b) = (real / variance, imaginary / variance)
    (tx, ty) = (to.x - a * from.x + b * from.y, to.y - b * from.x - a * from.y)
    guard scale > 0, [a, b, tx, ty].allSatisfy(\.isFinite) else { return nil }
  }

  /// How much longer lengths become.
  package var scale: Float { (a * a + b * b).squareRoot() }

  /// Where a point goes.
  package func callAsFunction(_ point: Point) -> Point {
    Point(x: a * point.x - b * point.y + tx, y: b * point.x + a * point.y + ty)
  }
}

extension Image {
  /// What a transform brings onto the square of `size` pixels at the origin, as 8-bit RGB; grey fills all three, alpha
  /// is left out. Pixels are interpolated between (bilinear) and, where the picture shrinks, averaged over what a pixel
  /// covers; what lies outside of the picture is the pixel of its border that is nearest.
  package func warped(by transform: SimilarityTransform, size: Int) -> Image {
    let target = bytes.withUnsafeBytes { source in
      bitDepth == 8
        ? warped(source.bindMemory(to: UInt8.self), transform, size)
        : warped(source.bindMemory(to: UInt16.self), transform, size)
    }
    return Image(width: size, height: size, channels: 3, bytes: target)
  }

  private func warped<Sample: FixedWidthInteger & UnsignedInteger>(
    _ samples: UnsafeBufferPointer<Sample>, _ transform: SimilarityTransform, _ size: Int
  ) -> [UInt8] {
    // 64 x 64 looks a pixel are enough for any average, and bound the time.
    let looks = Int(max(1, min(64, (1 / transform.scale).rounded(.up))))
    let step = 1 / Float(looks)
    let scale = 255 / (peak * Float(looks * looks))
    // The inverse: times 1 / (a + bi).
    let square = transform.a * transform.a + transform.b * transform.b
    let (a, b) = (transform.a / square, -transform.b / square)
    let (right, bottom) = (width - 1, height - 1)
    var target: [UInt8] = []
    target.reserveCapacity(3 * size * size)
    for v in 0..<size {
      for u in 0..<size {
        var sum = SIMD4<Float>.zero
        for i in 0..<looks {
          for j in 0..<looks {
            let x = Float(u) + (Float(j) + 0.5) * step - transform.tx
            let y = Float(v) + (Float(i) + 0.5) * step - transform.ty
            // Pixels' values are those at their centres.
            let sx = max(0, min(Float(right), a * x - b * y - 0.5))
            let sy = max(0, min(Float(bottom), b * x + a * y - 0.5))
            let (x0, y0) = (Int(sx), Int(sy))
            let (x1, y1) = (min(x0 &+ 1, right), min(y0 &+ 1, bottom))
            let (fx, fy) = (sx - Float(x0), sy - Float(y0))
            let (left, upperRight) = (color(samples, x0, y0), color(samples, x1, y0))
            let (lower, lowerRight) = (color(samples, x0, y1), color(samples, x1, y1))
            let (top, below) = (left + (upperRight - left) * fx, lower + (lowerRight - lower) * fx)
            sum += top + (below - top) * fy
          }
        }
        for channel in 0..<3 { target.append(UInt8((sum[channel] * scale).rounded())) }
      }
    }
    return target
  }

  /// The colour of a pixel, grey in all three; the fourth value is nothing.
  @inline(__always)
  private func color<Sample: FixedWidthInteger & UnsignedInteger>(
    _ samples: UnsafeBufferPointer<Sample>, _ x: Int, _ y: Int
  ) -> SIMD4<Float> {
    let at = (y &* width &+ x) &* channels
    let (green, blue) = colorChannels == 1 ? (0, 0) : (1, 2)
    return SIMD4(Float(samples[at]), Float(samples[at &+ green]), Float(samples[at &+ blue]), 0)
  }
}
