import Kernels

/// Images of bytes as dlib shrinks them: bilinear, the corners staying where they are, fractions cut off.
///
/// It computes in single precision, four columns at a time, whose places it finds by adding up; so what is a whole number but
/// for rounding can come out one lower. In flat regions that is all that a histogram of gradients sees, so it is done in the
/// same steps.
struct DlibBytes {
  /// Whole numbers in 0...255, plane by plane.
  let values: [Float]
  let height: Int, width: Int

  /// - Parameter images: [N, C, H, W], about 0...255.
  init(_ images: Tensor) throws {
    values = try images.values().map { min(max($0.rounded(), 0), 255) }
    (height, width) = (images.shape[2], images.shape[3])
  }

  private init(values: [Float], height: Int, width: Int) {
    (self.values, self.height, self.width) = (values, height, width)
  }

  /// What an output row or column is made of: two neighbours, the second counting for `fraction`.
  private struct Source {
    var first: Int, second: Int
    var fraction: Double

    /// - Parameter extent: of what is read.
    init(at place: Double, extent: Int) {
      first = Int(place)
      second = min(first + 1, extent - 1)
      fraction = place - Double(first)
    }
  }

  /// Sources at places that are found by adding the step between them up.
  private static func sources(_ extent: Int, _ outExtent: Int, from start: Int = 0) -> [Source] {
    let step = Double(extent - 1) / Double(max(outExtent - 1, 1))
    var place = -step + Double(start) * step
    return (start..<max(start, outExtent)).map { _ in
      place += step
      return Source(at: place, extent: extent)
    }
  }

  /// Columns in fours, in single precision, as far as all four have a neighbour to the right.
  private static func fours(_ extent: Int, _ outExtent: Int) -> [(first: Int, fraction: Float)] {
    let step = Double(extent - 1) / Double(max(outExtent - 1, 1))
    var places = SIMD4<Float>((0..<4).map { Float(-4 * step + Double($0) * step) })
    var columns: [(first: Int, fraction: Float)] = []
    while columns.count < outExtent {
      places += SIMD4(repeating: Float(4 * step))
      let four = (0..<4).map { (first: Int(places[$0]), fraction: places[$0] - places[$0].rounded(.towardZero)) }
      guard four[3].first + 1 < extent else { break }
      columns += four
    }
    return Array(columns.prefix(outExtent))
  }

  func shrunk(height outHeight: Int, width outWidth: Int) -> DlibBytes {
    let rows = Self.sources(height, outHeight)
    let fours = Self.fours(width, outWidth)
    let rest = Self.sources(width, outWidth, from: fours.count)
    let planes = values.count / (height * width)
    let shrunk = [Float](unsafeUninitializedCapacity: planes * outHeight * outWidth) { target, initialized in
      values.withUnsafeBufferPointer { source in
        for plane in 0..<planes {
          for (y, row) in rows.enumerated() {
            let upper = (plane * height + row.first) * width
            let lower = (plane * height + row.second) * width
            let to = (plane * outHeight + y) * outWidth
            let (below, above) = (Float(row.fraction), Float(1 - row.fraction))
            for (x, column) in fours.enumerated() {
              let (right, left) = (column.fraction, 1 - column.fraction)
              var sum = (above * left) * source[upper + column.first]
              sum += (above * right) * source[upper + column.first + 1]
              sum += (below * left) * source[lower + column.first]
              sum += (below * right) * source[lower + column.first + 1]
              target[to + x] = sum.rounded(.towardZero)
            }
            for (x, column) in rest.enumerated() {
              func line(_ start: Int) -> Double {
                (1 - column.fraction) * Double(source[start + column.first])
                  + column.fraction * Double(source[start + column.second])
              }
              let sum = (1 - row.fraction) * line(upper) + row.fraction * line(lower)
              target[to + fours.count + x] = Float(sum.rounded(.towardZero))
            }
          }
        }
      }
      initialized = planes * outHeight * outWidth
    }
    return DlibBytes(values: shrunk, height: outHeight, width: outWidth)
  }
}
