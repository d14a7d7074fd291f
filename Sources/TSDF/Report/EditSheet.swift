import Kernels
import Networks
import Pictures

/// What a generator makes of some faces: a row a face, first the original, then each edit.
package func editSheet(_ generator: any Generator, faces: FaceSet, indices: [Int], device: any Device) throws -> Image {
  var sheet = PictureSheet(cell: faces.size)
  var random = RandomStream(seed: 1)
  for index in indices {
    let original = try faces.batch([index], on: device)
    var row = try Image.images(from: original)
    for edit in generator.edits.indices {
      let condition = try generator.condition(
        [edit], labels: [faces.labels(of: index, named: generator.attributes)], random: &random, device: device)
      row += try Image.images(from: generator(original, condition: condition).image)
    }
    sheet.addRow(row)
  }
  return sheet.image()
}
