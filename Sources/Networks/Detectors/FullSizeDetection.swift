import Kernels
import Pictures

extension FaceFinder {
  /// The faces in a photo, best first. It is looked at whole and, where it is large, in overlapping tiles at full size, at half of
  /// that and so on, so that no face is missed for the shrinking. Time goes with the photo's pixels, memory with a tile's.
  /// - Parameters:
  ///   - image: the picture.
  ///   - threshold: the least score, 0...1.
  ///   - longestSide: larger photos are shrunk to this first; nil for none.
  ///   - device: where it is done.
  ///   - change: what is done to each piece as the detector is to see it, [N, 3, H, W] in [-1, 1], whose size stays.
  public func detectAll(
    in image: Image, threshold: Float = defaultDetectionThreshold, longestSide: Int? = nil, on device: any Device,
    change: (Tensor) throws -> Tensor = { $0 }
  ) throws -> [Detection] {
    var found: [Detection] = []
    let pyramid = PhotoPyramid(height: image.height, width: image.width, longestSide: longestSide, tiling: tiling)
    for level in pyramid.levels {
      let (x, y) = (Float(image.width) / Float(level.width), Float(image.height) / Float(level.height))
      for tiles in batches(level.tiles) {
        let (height, width) = (Int(tiles[0].height), Int(tiles[0].width))
        let planes = tiles.flatMap { image.planes(of: $0.scaled(x: x, y: y), height: height, width: width) }
        let seen = try change(Tensor(planes, shape: [tiles.count, 3, height, width], device: device))
        for (tile, faces) in zip(tiles, try detect(each: seen, threshold: threshold)) {
          found += faces.map { $0.shifted(x: tile.x0, y: tile.y0) }.filter { !level.cuts($0.box, tile) }
            .map { $0.scaled(x: x, y: y) }
        }
      }
    }
    return distinctFaces(found)
  }

  /// Tiles of one size, as many at once as this detector takes.
  private func batches(_ tiles: [Box]) -> [[Box]] {
    var bySize: [[Box]] = []
    for tile in tiles {
      let place = bySize.firstIndex { group in
        group.count < tiling.batch && group[0].width == tile.width && group[0].height == tile.height
      }
      if let place { bySize[place].append(tile) } else { bySize.append([tile]) }
    }
    return bySize
  }
}

extension PhotoPyramid.Level {
  /// Whether a box that was found in a tile reaches an edge where the photo goes on: of what is cut there, a neighbouring tile or
  /// a coarser level sees more.
  fileprivate func cuts(_ box: Box, _ tile: Box) -> Bool {
    let reach: Float = 2
    return (tile.x0 > 0 && box.x0 < tile.x0 + reach) || (tile.y0 > 0 && box.y0 < tile.y0 + reach)
      || (tile.x1 < Float(width) && box.x1 > tile.x1 - reach)
      || (tile.y1 < Float(height) && box.y1 > tile.y1 - reach)
  }
}

/// Finds without those of a face that was found better, best first: of other tiles, sizes or detectors.
package func distinctFaces(_ found: [Detection]) -> [Detection] {
  let order = found.indices.sorted { (found[$1].score, $0) < (found[$0].score, $1) }
  return nonMaximumSuppression(found.map(\.box), order: order) { $0.isOfSameFace(as: $1) }.map { found[$0] }
}

extension Box {
  /// Whether two boxes are of one face: much of both is shared, or most of the smaller one, which is not much smaller. A part of a
  /// face that looks like a small face is none of it.
  package func isOfSameFace(as other: Box) -> Bool {
    let (smaller, larger) = (min(area, other.area), max(area, other.area))
    return iou(other) > 0.4 || (smaller > larger / 4 && intersection(other) > 0.7 * smaller)
  }
}
