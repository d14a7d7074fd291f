import Kernels
import Pictures

/// A rectangle of images.
package struct ImagePart: Sendable {
  package let rows: Range<Int>, columns: Range<Int>

  package init(rows: Range<Int>, columns: Range<Int>) { (self.rows, self.columns) = (rows, columns) }

  /// That part of images [N, C, H, W].
  func cut(_ images: Tensor) throws -> Tensor { try images.sliced(axis: 2, rows).sliced(axis: 3, columns) }

  /// The pixels of a box with corners at whole ones.
  init(_ box: Box) { self.init(rows: Int(box.y0)..<Int(box.y1), columns: Int(box.x0)..<Int(box.x1)) }

  /// The same pixels as a box.
  var box: Box {
    Box(
      x0: Float(columns.lowerBound), y0: Float(rows.lowerBound), x1: Float(columns.upperBound),
      y1: Float(rows.upperBound))
  }

  /// The same pixels, counted from another rectangle's first, which holds them.
  func relative(to other: ImagePart) -> ImagePart {
    func shifted(_ range: Range<Int>, by offset: Int) -> Range<Int> {
      range.lowerBound - offset..<range.upperBound - offset
    }
    return ImagePart(
      rows: shifted(rows, by: other.rows.lowerBound), columns: shifted(columns, by: other.columns.lowerBound))
  }

  /// 1 in it, 0 elsewhere: [1, 1, height, width].
  func mask(height: Int, width: Int, device: any Device) throws -> Tensor {
    let row = (0..<width).map { columns.contains($0) ? Float(1) : 0 }
    let empty = [Float](repeating: 0, count: width)
    return try Tensor(
      (0..<height).flatMap { rows.contains($0) ? row : empty }, shape: [1, 1, height, width], device: device)
  }
}
