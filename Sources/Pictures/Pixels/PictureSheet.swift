/// Pictures of one size laid out in rows on white.
package struct PictureSheet: Sendable {
  /// Pixels a side of a cell.
  package let cell: Int
  private var rows: [[Image?]] = []
  private let gap = 4

  /// Cells of `cell` pixels a side.
  package init(cell: Int) { self.cell = cell }

  /// Rows that it has.
  package var rowCount: Int { rows.count }

  /// Adds a row; nil leaves a cell empty. Every picture is 8-bit RGB and `cell` pixels a side.
  package mutating func addRow(_ pictures: [Image?]) { rows.append(pictures) }

  /// The whole sheet.
  package func image() -> Image {
    let columns = rows.map(\.count).max() ?? 1
    let width = columns * (cell + gap) + gap
    let height = max(1, rows.count) * (cell + gap) + gap
    var bytes = [UInt8](repeating: 255, count: width * height * 3)
    for (r, row) in rows.enumerated() {
      for (c, picture) in row.enumerated() {
        guard let picture else { continue }
        precondition(picture.width == cell && picture.height == cell && picture.channels == 3 && picture.bitDepth == 8)
        for y in 0..<cell {
          let to = ((gap + r * (cell + gap) + y) * width + gap + c * (cell + gap)) * 3
          bytes.replaceSubrange(to..<to + cell * 3, with: picture.bytes[y * cell * 3..<(y + 1) * cell * 3])
        }
      }
    }
    return Image(width: width, height: height, channels: 3, bytes: bytes)
  }
}
