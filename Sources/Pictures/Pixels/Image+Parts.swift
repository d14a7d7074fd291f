extension Image {
  /// The colours of a rectangle brought to a size, planes [3, height, width] in [-1, 1]: a value is the mean of the area that it
  /// stands for, as far as that lies in the picture. Grey fills all three planes, alpha is left out. What is taken is no more than
  /// the result and a few rows, however large the picture.
  /// - Parameter part: in pixels, not necessarily whole ones; it shares some area with the picture.
  package func planes(of part: Box, height: Int, width: Int) -> [Float] {
    let columns = AreaSpan.all(from: part.x0, to: part.x1, count: width, limit: self.width)
    let rows = AreaSpan.all(from: part.y0, to: part.y1, count: height, limit: self.height)
    return bytes.withUnsafeBytes { source in
      bitDepth == 8
        ? planes(source.bindMemory(to: UInt8.self), rows, columns)
        : planes(source.bindMemory(to: UInt16.self), rows, columns)
    }
  }

  private func planes<Sample: FixedWidthInteger>(
    _ source: UnsafeBufferPointer<Sample>, _ rows: [AreaSpan], _ columns: [AreaSpan]
  ) -> [Float] {
    let (height, width) = (rows.count, columns.count)
    let scale = 2 / peak
    var planes = [Float](repeating: -1, count: 3 * height * width)
    planes.withUnsafeMutableBufferPointer { planes in
      for (y, row) in rows.enumerated() {
        for channel in 0..<3 {
          let target = planes.baseAddress! + (channel * height + y) * width
          let from = colorChannels == 1 ? 0 : channel
          for (line, share) in row.pixels {
            let start = line * self.width
            for (x, column) in columns.enumerated() {
              func value(_ pixel: Int) -> Float { Float(source[(start &+ pixel) &* channels &+ from]) }
              var sum = value(column.first) * column.firstShare
              if column.last > column.first {
                var inner: Float = 0
                for pixel in column.first + 1..<column.last { inner += value(pixel) }
                sum += inner * column.share + value(column.last) * column.lastShare
              }
              target[x] += sum * share * scale
            }
          }
        }
      }
    }
    return planes
  }
}

/// The pixels along an extent that a value is the mean of: all the same share but the first and the last. Shares add up to 1.
package struct AreaSpan: Sendable {
  fileprivate let first: Int, last: Int
  fileprivate let firstShare: Float, share: Float, lastShare: Float

  /// - Parameter limit: pixels there are.
  private init(from low: Float, to high: Float, limit: Int) {
    let low = max(0, min(low, Float(limit) - 0.5))
    let high = max(low + 1e-3, min(high, Float(limit)))
    first = Int(low)
    last = max(first, min(limit - 1, Int(high.rounded(.up)) - 1))
    share = 1 / (high - low)
    firstShare = (min(high, Float(first + 1)) - low) * share
    lastShare = (high - Float(last)) * share
  }

  /// The spans of `count` values that share an extent equally.
  package static func all(from low: Float, to high: Float, count: Int, limit: Int) -> [AreaSpan] {
    // In doubles: a float holds no hundredth of a pixel far out in a panorama.
    let step = (Double(high) - Double(low)) / Double(count)
    func edge(_ index: Int) -> Float {
      let edge = Double(low) + Double(index) * step
      // An edge that falls on a pixel's is that, so that no neighbour gets a share of nothing.
      return abs(edge - edge.rounded()) < 1e-4 ? Float(edge.rounded()) : Float(edge)
    }
    return (0..<count).map { AreaSpan(from: edge($0), to: edge($0 + 1), limit: limit) }
  }

  /// Each pixel and its share.
  package var pixels: some Sequence<(Int, Float)> {
    (first...last).lazy.map { ($0, $0 == first ? firstShare : $0 == last ? lastShare : share) }
  }
}
