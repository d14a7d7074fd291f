import Foundation
import Pictures

/// Where a patch lies in a picture, and at what size it is worked on: at full size, or where the region is large at a half, a quarter
/// and so on.
struct PatchPlace: Sendable {
  /// The side of the square of pixels that a value of the patch stands for, a power of two.
  let factor: Int
  /// The picture's pixels, from multiples of the factor to such; they may reach beyond the picture's last.
  let rows: Range<Int>, columns: Range<Int>

  /// A square's sides at most as it is worked on, and a whole picture's.
  private static let longestSquare: Float = 640, longestPicture: Float = 1280

  init(_ region: Region, height: Int, width: Int) {
    let box = region.changed
    var factor = 1
    let most = region.isWhole ? Self.longestPicture : Self.longestSquare
    while max(box.width, box.height) > most * Float(factor) { factor *= 2 }
    self.init(box, factor: factor, height: height, width: width)
  }

  /// The place of a box at a factor.
  init(_ box: Box, factor: Int, height: Int, width: Int) {
    func aligned(_ low: Float, _ high: Float, _ limit: Int) -> Range<Int> {
      max(0, Int(low)) / factor * factor..<(min(limit, Int(high)) + factor - 1) / factor * factor
    }
    self.factor = factor
    (rows, columns) = (aligned(box.y0, box.y1, height), aligned(box.x0, box.x1, width))
  }

  /// Values of the patch.
  var width: Int { columns.count / factor }
  var height: Int { rows.count / factor }

  /// The same rectangle in the picture's pixels.
  var box: Box { ImagePart(rows: rows, columns: columns).box }

  /// What is looked at while the patch is worked on: it and its surroundings, in values, from a multiple of `grid` on.
  func view(around margin: Int, grid: Int, height: Int, width: Int) -> ImagePart {
    func range(_ pixels: Range<Int>, _ limit: Int) -> Range<Int> {
      max(0, pixels.lowerBound / factor - margin) / grid
        * grid..<min(
          (limit + factor - 1) / factor, pixels.upperBound / factor + margin)
    }
    return ImagePart(rows: range(rows, height), columns: range(columns, width))
  }

  /// The patch's own values.
  var part: ImagePart {
    ImagePart(
      rows: rows.lowerBound / factor..<rows.upperBound / factor,
      columns: columns.lowerBound / factor..<columns.upperBound / factor)
  }
}

/// A part of a picture that is protected: the square around a face, or the whole picture.
struct Region: Sendable {
  /// What generators are given.
  let box: Box
  /// What is changed: it and its surroundings.
  let changed: Box
  let isWhole: Bool
  /// What is to be hidden in it: the face that the square is around, or those of a whole picture.
  let faces: [Box]

  init(wholeOf image: Image, faces: [Box]) {
    (box, changed) = (image.bounds, image.bounds)
    isWhole = true
    self.faces = faces
  }

  /// - Parameters:
  ///   - margin: the square's side as a multiple of the face's longer side.
  ///   - extent: the same of the square that is changed; no smaller.
  init(around face: Box, margin: Float, extent: Float) {
    func square(_ share: Float) -> Box {
      let side = max(16, (max(face.width, face.height) * share).rounded())
      let (left, top) = ((face.centerX - side / 2).rounded(), (face.centerY - side / 2).rounded())
      return Box(x0: left, y0: top, x1: left + side, y1: top + side)
    }
    (box, changed) = (square(margin), square(extent))
    isWhole = false
    faces = [face]
  }
}
