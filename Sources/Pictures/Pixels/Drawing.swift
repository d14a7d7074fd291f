import Foundation

extension Image {
  /// The picture as 8-bit RGB with the outlines of boxes drawn in green.
  package func drawing(_ boxes: [Box]) -> Image {
    var result = Image(planes: planes(), width: width, height: height)
    let thickness = max(1, min(width, height) / 200)
    for box in boxes {
      let (x0, y0, x1, y1) = (Int(box.x0), Int(box.y0), Int(box.x1), Int(box.y1))
      for t in 0..<thickness {
        for x in x0...max(x0, x1) {
          result.paint(x, y0 + t)
          result.paint(x, y1 - t)
        }
        for y in y0...max(y0, y1) {
          result.paint(x0 + t, y)
          result.paint(x1 - t, y)
        }
      }
    }
    return result
  }

  private mutating func paint(_ x: Int, _ y: Int) {
    guard x >= 0, x < width, y >= 0, y < height else { return }
    bytes.replaceSubrange((y * width + x) * 3..<(y * width + x) * 3 + 3, with: [0, 230, 80])
  }
}
