import Foundation
import Kernels

/// Pictures of one size laid out in rows on white.
public struct PictureSheet {
  public let cell: Int
  private var rows: [[Image?]] = []
  private let gap = 4

  /// Cells of `cell` pixels a side.
  public init(cell: Int) { self.cell = cell }

  /// Adds a row; nil leaves a cell empty. Every picture is 8-bit RGB and `cell` pixels a side.
  public mutating func addRow(_ pictures: [Image?]) { rows.append(pictures) }

  /// The whole sheet.
  public func image() -> Image {
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

/// What a generator makes of some faces: a row a face, first the original, then each attribute toggled.
public func editSheet(_ generator: some Generator, faces: FaceSet, indices: [Int], device: any Device) throws -> Image {
  var sheet = PictureSheet(cell: faces.size)
  for index in indices {
    let original = try faces.batch([index], on: device)
    var row = try Image.images(from: original)
    for attribute in generator.attributes.indices {
      let condition = editCondition(generator.attributes, labels: faces.labels[index], toggling: attribute)
      let edited = try generator(
        original, condition: Kernels.Tensor(condition, shape: [1, condition.count], device: device))
      row += try Image.images(from: edited.image)
    }
    sheet.addRow(row)
  }
  return sheet.image()
}

/// The age bands of the development faces exclude each other.
private let exclusive: Set = ["Child", "Young", "Middle", "Senior"]

/// The condition for one edit: an attribute of an exclusive group is switched on and the rest of the group off, any
/// other is inverted.
public func editCondition(_ attributes: [String], labels: [Float], toggling index: Int) -> [Float] {
  var condition = labels
  if exclusive.contains(attributes[index]), attributes.filter(exclusive.contains).count > 1 {
    for other in attributes.indices where exclusive.contains(attributes[other]) { condition[other] = 0 }
    condition[index] = 1
  } else {
    condition[index] = 1 - condition[index]
  }
  return condition
}
