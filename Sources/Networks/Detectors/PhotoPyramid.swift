import Pictures

/// How large the pieces are in which a detector looks at photos that are larger.
public struct DetectorTiling: Sendable {
  /// The longest side of a tile; a multiple of 32.
  package let side: Int
  /// What neighbouring tiles share at least, besides 32 pixels: faces up to that size lie whole in one of them.
  let overlap: Int
  /// How many tiles are looked at at once.
  let batch: Int

  package init(side: Int, overlap: Int, batch: Int) {
    (self.side, self.overlap, self.batch) = (side, overlap, batch)
  }

  /// Of detectors that take pictures as they are.
  static let standard = DetectorTiling(side: defaultLongestSide, overlap: 256, batch: 1)
}

/// The sizes at which a detector looks at a photo, and the tiles that it looks at of each: so that faces of all sizes are seen
/// at a size that suits it. Full size comes first, then half of that and so on while more than a tile is left, and at last the whole
/// photo at the size at which detectors are commonly shown it (`defaultLongestSide`).
package struct PhotoPyramid: Sendable {
  package struct Level: Sendable {
    package let height: Int, width: Int
    /// In the level's pixels. But for a last row and column, all start at multiples of 32, so that prior boxes lie as they do in
    /// the whole.
    package let tiles: [Box]
  }

  package let levels: [Level]

  /// - Parameter longestSide: larger photos are shrunk to this first; nil for none.
  package init(height: Int, width: Int, longestSide: Int? = nil, tiling: DetectorTiling) {
    let longest = Float(max(height, width))
    func level(_ scale: Float, isWhole: Bool = false) -> Level {
      let (rows, columns) = (max(1, Int(Float(height) * scale)), max(1, Int(Float(width) * scale)))
      let tiles =
        isWhole
        ? [Box(x0: 0, y0: 0, x1: Float(columns), y1: Float(rows))]
        : Self.ranges(rows, tiling).flatMap { y in
          Self.ranges(columns, tiling).map { x in
            Box(x0: Float(x.lowerBound), y0: Float(y.lowerBound), x1: Float(x.upperBound), y1: Float(y.upperBound))
          }
        }
      return Level(height: rows, width: columns, tiles: tiles)
    }
    var levels: [Level] = []
    let most = min(1, longestSide.map { Float($0) / longest } ?? 1)
    var scale = most
    while scale * longest > Float(tiling.side) {
      levels.append(level(scale))
      scale /= 2
    }
    levels.append(level(min(most, Float(defaultLongestSide) / longest), isWhole: true))
    self.levels = levels
  }

  /// The tiles along an extent: as few as there can be, all about as long.
  private static func ranges(_ length: Int, _ tiling: DetectorTiling) -> [Range<Int>] {
    guard length > tiling.side else { return [0..<length] }
    let overlap = tiling.overlap + 32
    let count = max(2, (length - overlap + tiling.side - overlap - 1) / (tiling.side - overlap))
    let side = ((length + (count - 1) * overlap + count - 1) / count + 31) / 32 * 32
    return (0..<count).map { index in
      let start = index * (length - side) / (count - 1) / 32 * 32
      return start..<(index == count - 1 ? length : start + side)
    }
  }
}
