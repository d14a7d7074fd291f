import Kernels

/// Histograms of oriented gradients of Felzenszwalb, Girshick, McAllester and Ramanan (PAMI 2010), with the constants of dlib:
/// cells of 8 pixels, 31 features each.
enum OrientedGradients {
  static let cell = 8
  /// 18 directions with sign, 9 without, 4 of all gradients together.
  static let featureCount = 31

  /// The unit vectors of the directions without sign (x, y), 20 degrees apart, to dlib's four digits.
  private static let directions: [(x: Float, y: Float)] = [
    (1, 0), (0.9397, 0.3420), (0.7660, 0.6428), (0.5, 0.8660), (0.1736, 0.9848), (-0.1736, 0.9848),
    (-0.5, 0.8660), (-0.7660, 0.6428), (-0.9397, 0.3420),
  ]

  /// The cells with features along `extent` pixels: all but those at the border.
  static func cells(_ extent: Int) -> Int { max(0, allCells(extent) - 2) }

  /// All cells along `extent` pixels, the last one whole or missing less than half.
  private static func allCells(_ extent: Int) -> Int { (extent + cell / 2) / cell }

  /// The features [N, 31, cells(H), cells(W)] of images [N, 3, H, W] in 0...255. Which colour and direction is the strongest is a
  /// constant as gradients go; the lengths are what they run through.
  static func features(_ images: Tensor) throws -> Tensor {
    let (rows, columns) = (allCells(images.shape[2]), allCells(images.shape[3]))
    var (x, y) = try strongestGradients(
      images.sliced(axis: 2, 0..<min(cell * rows, images.shape[2]))
        .sliced(axis: 3, 0..<min(cell * columns, images.shape[3])))
    // A pixel counts for the cells around it: half a cell more on all sides. The images' outermost pixels have no gradient.
    func surrounded(_ part: Tensor) throws -> Tensor {
      let before = cell / 2 + 1
      return try part.padded(
        top: before, bottom: cell * (rows + 1) - before - part.shape[2], left: before,
        right: cell * (columns + 1) - before - part.shape[3])
    }
    (x, y) = (try surrounded(x), try surrounded(y))
    // The small number keeps the root's gradient finite.
    let lengths = try (x.squared() + y.squared() + 1e-20).sqrt()
    return try normalized(pooled(signs(x.detached(), y.detached()) * lengths))
  }

  /// The differences of neighbours on both sides along x and y, [N, 1, H - 2, W - 2], of the colour that changes the most.
  private static func strongestGradients(_ images: Tensor) throws -> (x: Tensor, y: Tensor) {
    let (height, width) = (images.shape[2], images.shape[3])
    let inRows = try images.sliced(axis: 2, 1..<height - 1)
    let inColumns = try images.sliced(axis: 3, 1..<width - 1)
    let x = try inRows.sliced(axis: 3, 2..<width) - inRows.sliced(axis: 3, 0..<width - 2)
    let y = try inColumns.sliced(axis: 2, 2..<height) - inColumns.sliced(axis: 2, 0..<height - 2)
    let squares = try x.detached().squared() + y.detached().squared()
    let (red, green, blue) = (
      try squares.sliced(axis: 1, 0..<1), try squares.sliced(axis: 1, 1..<2), try squares.sliced(axis: 1, 2..<3)
    )
    let (isRed, isNotBlue) = (try red.greater(than: green), try red.maximum(green).greater(than: blue))
    let chosen = try Tensor.concatenated([isRed * isNotBlue, (1 - isRed) * isNotBlue, 1 - isNotBlue], axis: 1)
    return (try (x * chosen).sum(axes: [1], keepingAxes: true), try (y * chosen).sum(axes: [1], keepingAxes: true))
  }

  /// 1 for the direction with sign that a gradient is nearest to, else 0: [N, 18, H, W], opposite ones 9 apart.
  private static func signs(_ x: Tensor, _ y: Tensor) throws -> Tensor {
    let weight = try Tensor(
      directions.flatMap { [$0.x, $0.y] }, shape: [directions.count, 2, 1, 1], device: x.device)
    let along = try Tensor.concatenated([x, y], axis: 1).convolved(with: weight)
    // Upright gradients are as near to the fifth direction as to the sixth, and count for the fifth. Of all whole numbers to 255
    // they alone are undecided, the next by five times this.
    var favour = [Float](repeating: 0, count: directions.count)
    favour[4] = 2e-4
    let nearness = try along.abs() + Tensor(favour, shape: [directions.count, 1, 1], device: x.device)
    let isNearest = try 1 - nearness.max(axes: [1], keepingAxes: true).greater(than: nearness)
    let forward = try isNearest * along.mask(within: 0 ... .infinity)
    return try Tensor.concatenated([forward, isNearest - forward], axis: 1)
  }

  /// What pixels [N, 18, H, W] count for the cells around them, by how near they are: bilinear interpolation.
  private static func pooled(_ votes: Tensor) throws -> Tensor {
    let line = (0..<2 * cell).map { 1 - abs(Float($0) - Float(cell) + 0.5) / Float(cell) }
    let square = line.flatMap { a in line.map { a * $0 } }
    let channels = votes.shape[1]
    let weight = try Tensor(square, shape: [1, 1, 2 * cell, 2 * cell], device: votes.device)
    return try votes.convolved(
      with: weight.broadcast(to: [channels, 1, 2 * cell, 2 * cell]), stride: cell, groups: channels)
  }

  /// The features of histograms [N, 18, rows, columns]: each cell relative to the four blocks of 2 x 2 cells that it is in, and
  /// cut off.
  private static func normalized(_ histograms: Tensor) throws -> Tensor {
    let (count, rows, columns) = (histograms.shape[0], histograms.shape[2] - 2, histograms.shape[3] - 2)
    func unsigned(_ x: Tensor) throws -> Tensor { try x.sliced(axis: 1, 0..<9) + x.sliced(axis: 1, 9..<18) }
    let energies = try unsigned(histograms).squared().sum(axes: [1], keepingAxes: true)
    let limits = try (energies.averagePooled(size: 2, stride: 1) * 4 + 1e-4).sqrt() * 0.2
    let blocks = try Tensor.concatenated(
      [(1, 1), (0, 1), (1, 0), (0, 0)].map { row, column in
        try limits.sliced(axis: 2, row..<row + rows).sliced(axis: 3, column..<column + columns)
      }, axis: 1
    ).reshaped([count, 4, 1, rows, columns])
    let scales = try blocks.reciprocal() * 0.1
    let inner = try histograms.sliced(axis: 2, 1..<rows + 1).sliced(axis: 3, 1..<columns + 1)
    func relative(_ x: Tensor) throws -> Tensor {
      try x.reshaped([count, 1, x.shape[1], rows, columns]).minimum(blocks) * scales
    }
    let signed = try relative(inner)
    return try Tensor.concatenated(
      [
        signed.sum(axes: [1]), relative(unsigned(inner)).sum(axes: [1]),
        signed.sum(axes: [2]) * (2 * 0.2357),
      ], axis: 1)
  }
}
