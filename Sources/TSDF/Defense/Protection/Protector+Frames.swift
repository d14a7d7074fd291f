import Kernels
import Networks
import Pictures

extension Protector {
  /// Pixels around what is changed that are in view with it, and that detectors are shown at the size at which they see it, and what both start
  /// at a multiple of, so that prior boxes lie as they do in the whole: a face that was hidden in a picture of its square alone
  /// was still found in the photo.
  static let surroundings: Float = 48, grid: Float = 32
  /// The least side of a face, as a detector sees it.
  private static let smallestFace: Float = 12
  /// The longest side of a piece at first: a larger one costs more than all else, and at its size the face is mostly hidden by what
  /// hides it at the next coarser one.
  private static let longestPiece: Float = 960

  /// What a detector sees of a face, at each size at which it looks at a photo; nil where that is nothing. Of one that brings
  /// pictures to a size of its own it is the tile that it looks at, since it sees a face as large as that has it.
  /// - Parameter isThorough: whether also where that takes long.
  func frames(
    of detector: any FaceDetector, face: Box, _ place: PatchPlace, in work: Patchwork, without index: Int,
    isThorough: Bool
  ) throws -> [DetectorFrame]? {
    let (height, width) = (work.original.height, work.original.width)
    let pyramid = PhotoPyramid(
      height: height, width: width, longestSide: settings.longestSide, tiling: detector.tiling)
    let frames = try pyramid.levels.compactMap { level -> DetectorFrame? in
      let (x, y) = (Float(level.width) / Float(width), Float(level.height) / Float(height))
      let (seen, part) = (face.scaled(x: x, y: y), place.box.scaled(x: x, y: y))
      guard max(seen.width, seen.height) >= Self.smallestFace,
        let piece = Self.piece(of: level, around: part, face: seen, detector, isThorough: isThorough)
      else { return nil }
      let (rows, columns) = (Int(piece.height), Int(piece.width))
      let shown = piece.scaled(x: 1 / x, y: 1 / y)
      let image = try work.tensor(of: shown, rows, columns, without: index, on: device)
      let inside = part.shifted(x: -piece.x0, y: -piece.y0)
      if level.width * place.factor == width, level.height * place.factor == height,
        inside.intersection(Box(x0: 0, y0: 0, x1: piece.width, y1: piece.height)) == inside.area
      {
        return DetectorFrame(image, part: place.part.relative(to: ImagePart(piece)))
      }
      func spread(_ shown: (Float, Float), _ count: Int, _ pixels: Range<Int>, _ limit: Int) throws -> Tensor {
        let spans = AreaSpan.all(from: shown.0, to: shown.1, count: count, limit: limit)
        return try Tensor(
          Patch.weights(of: spans, in: pixels, factor: place.factor),
          shape: [count, pixels.count / place.factor], device: device)
      }
      return DetectorFrame(
        image, part: inside,
        placement: .resampled(
          rows: try spread((shown.y0, shown.y1), rows, place.rows, height),
          columns: try spread((shown.x0, shown.x1), columns, place.columns, width)))
    }
    return frames.isEmpty ? nil : frames
  }

  /// The piece of a level that is shown, in its pixels.
  private static func piece(
    of level: PhotoPyramid.Level, around part: Box, face: Box, _ detector: any FaceDetector, isThorough: Bool
  ) -> Box? {
    func start(_ edge: Float) -> Float { (max(0, edge - surroundings) / grid).rounded(.down) * grid }
    let near = Box(
      x0: start(part.x0), y0: start(part.y0), x1: min(Float(level.width), (part.x1 + surroundings).rounded()),
      y1: min(Float(level.height), (part.y1 + surroundings).rounded()))
    func isLargeEnough(_ box: Box) -> Bool { min(box.width, box.height) >= Float(DetectorFrame.smallestSide) }
    if !detector.resizesPictures {
      let longest = max(near.width, near.height)
      if longest <= Float(detector.tiling.side), isThorough || longest <= longestPiece {
        return isLargeEnough(near) ? near : nil
      }
      if !isThorough { return nil }
    }
    /// How far the face lies from the nearest edge of a tile.
    func margin(_ tile: Box) -> Float {
      min(face.x0 - tile.x0, face.y0 - tile.y0, tile.x1 - face.x1, tile.y1 - face.y1)
    }
    let whole = level.tiles.count == 1 ? level.tiles.first : nil
    let tile = whole ?? level.tiles.filter { margin($0) > 0 }.max { margin($0) < margin($1) }
    return tile.flatMap { isLargeEnough($0) ? $0 : nil }
  }
}

extension Patchwork {
  /// A rectangle of the picture as it is without one of the patches, at a size: [1, 3, height, width] in [-1, 1].
  func tensor(of box: Box, _ height: Int, _ width: Int, without index: Int, on device: any Device) throws -> Tensor {
    func pixels(_ low: Float, _ high: Float, _ limit: Int) -> Range<Int> {
      let first = max(0, min(Int(low.rounded(.down)), limit - 1))
      return first..<max(first + 1, min(Int(high.rounded(.up)), limit))
    }
    let (rows, columns) = (pixels(box.y0, box.y1, original.height), pixels(box.x0, box.x1, original.width))
    let planes = part(rows: rows, columns: columns, without: index).planes(
      of: box.shifted(x: -Float(columns.lowerBound), y: -Float(rows.lowerBound)), height: height, width: width)
    return try Tensor(planes, shape: [1, 3, height, width], device: device)
  }
}
