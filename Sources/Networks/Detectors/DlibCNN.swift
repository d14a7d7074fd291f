import Kernels
import Pictures

/// dlib's face detection network (King, 2016): seven convolutions, the first three of which halve the image, over an image
/// pyramid that lies in one image (`DlibTiles`), since its receptive field is wider than the gaps between the levels.
package final class DlibCNN: DlibDetector {
  package static let name = "dlib-cnn"

  private let parameters: [String: Tensor]
  /// Of the sliding window, in pixels.
  private let window: (width: Double, height: Double)
  let suppression: DlibSuppression

  /// Output channels, side, stride and padding of the convolutions.
  private static let layers = [
    (16, 5, 2, 0), (32, 5, 2, 0), (32, 5, 2, 0), (45, 5, 1, 2), (45, 5, 1, 2), (45, 5, 1, 2), (1, 9, 1, 4),
  ]
  /// The layers whose rectified outputs are the features: those at the strides 4 and 8, and the last before the scores.
  private static let featureLayers: Set = [1, 2, 5]

  package convenience init(_ state: StateDictionary) throws { try self.init(source: ParameterSource(state)) }

  private init(source: ParameterSource) throws {
    var source = source
    try source.constant("mean", [3], 0)
    try source.constant("window", [2], 0)
    try source.constant("suppression", [2], 0)
    var channels = 3
    for (i, (count, side, _, _)) in Self.layers.enumerated() {
      try source.layer("conv\(i + 1)", [count, channels, side, side], bias: count)
      channels = count
    }
    parameters = try source.finished()
    let sides = try parameters["window"]!.values().map(Double.init)
    window = (sides[0], sides[1])
    suppression = try DlibSuppression(parameters["suppression"]!)
  }

  package func heads(_ images: Tensor) throws -> DetectorHeads {
    try SingleShot.requireColours(images, Self.name, leastSide: Self.leastSide)
    // Values on 0...255 less their mean, over 256.
    let shift = try (127.5 - parameters["mean"]!.reshaped([3, 1, 1])) / 256
    let tiles = DlibTiles(height: images.shape[2], width: images.shape[3])
    var x = try tiles.image(images.scaled(by: 127.5 / 256) + shift)
    var features: [Tensor] = []
    for (i, (_, _, stride, padding)) in Self.layers.enumerated() {
      x = try x.convolved(
        with: parameters["conv\(i + 1).weight"]!, bias: parameters["conv\(i + 1).bias"]!, stride: stride,
        padding: padding, activation: i == Self.layers.count - 1 ? .identity : .relu)
      if Self.featureLayers.contains(i) { features.append(x) }
    }
    return try Self.heads(x.reshaped([x.shape[0], -1]), features: features)
  }

  /// The least pixels a side that leave an output.
  private static let leastSide = 8

  package func priorBoxes(height: Int, width: Int) -> [Box] {
    let tiles = DlibTiles(height: height, width: width)
    func cells(_ extent: Int) -> Int { (0..<3).reduce(extent) { extent, _ in (extent - 3) / 2 } }
    let (rows, columns) = (cells(tiles.height), cells(tiles.width))
    return (0..<max(0, rows * columns)).map { cell in
      // Three times 2 p + 2: the pixel in the middle of what a cell sees.
      let (x, y) = (8 * (cell % columns) + 14, 8 * (cell / columns) + 14)
      let level = tiles.level(nearX: x, y: y)
      let (fromX, fromY) = (Double(x - tiles.places[level].x), Double(y - tiles.places[level].y))
      return DlibPyramid.box(
        left: fromX - (window.width - 1) / 2, top: fromY - (window.height - 1) / 2,
        right: fromX + (window.width - 1) / 2, bottom: fromY + (window.height - 1) / 2, level: level)
    }
  }
}

@available(*, unavailable)
extension DlibCNN: Sendable {}

/// An image pyramid in one image, as dlib lays it out: a column of levels from the top down and, as soon as the remaining ones fit
/// beside it, a column along the right border from the bottom up.
struct DlibTiles {
  let height: Int, width: Int
  /// The top left corners of the levels.
  let places: [(x: Int, y: Int)]
  private let pyramid: DlibPyramid
  /// How many levels are in the first column.
  private let firstColumn: Int

  private static let gap = 10
  private static let border = 11

  init(height: Int, width: Int) {
    pyramid = DlibPyramid(height: height, width: width) { height, _ in height >= 5 }
    let sizes = pyramid.sizes
    let total = sizes.reduce(0) { $0 + $1.height + Self.gap } - 2 * Self.gap
    var (count, end) = (0, 0)
    for size in sizes {
      let isPastHalf = 2 * (end - height) >= total - height
      if count > 0, isPastHalf, size.width <= width - sizes[count - 1].width - Self.gap { break }
      (count, end) = (count + 1, end + size.height + Self.gap)
    }
    var places: [(x: Int, y: Int)] = []
    var y = Self.border
    for size in sizes.prefix(count) {
      places.append((Self.border, y))
      y += size.height + Self.gap
    }
    y -= Self.gap
    self.height = y + Self.border
    self.width = width + 2 * Self.border
    for size in sizes.dropFirst(count) {
      // Levels that would reach the image itself are left out.
      guard y - size.height >= Self.border + height else { break }
      places.append((Self.border + width - size.width, y - size.height))
      y -= size.height + Self.gap
    }
    (self.places, firstColumn) = (places, count)
  }

  /// The levels of images [N, C, H, W], 0 around them.
  func image(_ images: Tensor) throws -> Tensor {
    let levels = try pyramid.levels(images)
    let first = try column(levels, 0..<firstColumn)
    let isOneColumn = firstColumn == places.count
    return isOneColumn ? first : try first + column(levels, (firstColumn..<places.count).reversed())
  }

  /// An image with some of the levels, which lie one below the other.
  private func column(_ levels: [Tensor], _ downward: some Collection<Int>) throws -> Tensor {
    var end = 0
    let padded = try downward.enumerated().map { i, level in
      let (x, y) = places[level]
      let (right, below) = (x + levels[level].shape[3], y + levels[level].shape[2])
      defer { end = below }
      let isLast = i == downward.count - 1
      return try levels[level].padded(
        top: y - end, bottom: isLast ? height - below : 0, left: x, right: width - right)
    }
    return try Tensor.concatenated(padded, axis: 2)
  }

  /// The level that a pixel is in, or else is nearest to.
  func level(nearX x: Int, y: Int) -> Int {
    var (nearest, least) = (0, Int.max)
    for (level, (place, size)) in zip(places, pyramid.sizes).enumerated() {
      let awayX = max(place.x - x, 0, x - (place.x + size.width - 1))
      let awayY = max(place.y - y, 0, y - (place.y + size.height - 1))
      let distance = awayX * awayX + awayY * awayY
      if distance < least { (nearest, least) = (level, distance) }
    }
    return nearest
  }
}
