import Kernels
import Pictures

/// dlib's frontal face detector (King, 2014): five linear filters on histograms of oriented gradients over an image pyramid, for
/// faces from the front, from the left, from the right, and turned to either side. It sees bytes: gradients pass their rounding
/// straight through.
package final class DlibHOG: DlibDetector {
  package static let name = "dlib-hog"

  private let filters: Tensor
  /// Less the thresholds of the filters.
  private let bias: Tensor
  let suppression: DlibSuppression

  private static let filterCount = 5
  /// Cells a side of a filter.
  private static let side = 10
  /// The least sides of a level of the pyramid, but for the image itself, and of an image that has a feature.
  private static let leastLevel = 64.0, leastSide = 20

  package init(_ state: StateDictionary) throws {
    var source = ParameterSource(state)
    try source.layer(
      "filters", [Self.filterCount, OrientedGradients.featureCount, Self.side, Self.side], bias: Self.filterCount)
    try source.constant("suppression", [2], 0)
    let parameters = try source.finished()
    (filters, bias) = (parameters["filters.weight"]!, parameters["filters.bias"]!)
    suppression = try DlibSuppression(parameters["suppression"]!)
  }

  private static func pyramid(height: Int, width: Int) -> DlibPyramid {
    // How many levels there are follows the last pixel of each, which is rounded to a place on the next.
    var last = (x: Double(width - 1), y: Double(height - 1))
    return DlibPyramid(height: height, width: width) { _, _ in
      last = (((last.x - 0.3) * (5.0 / 6)).rounded(), ((last.y - 0.3) * (5.0 / 6)).rounded())
      return min(last.x, last.y) + 1 >= leastLevel
    }
  }

  /// How many priors a level has: one a filter and cell.
  private static func count(_ size: (height: Int, width: Int)) -> Int {
    filterCount * OrientedGradients.cells(size.height) * OrientedGradients.cells(size.width)
  }

  /// The levels of images [N, 3, H, W] in [-1, 1], in 0...255.
  private static func levels(_ images: Tensor) throws -> [Tensor] {
    try SingleShot.requireColours(images, name, leastSide: leastSide)
    let scaled = try images.scaled(by: 127.5, plus: 127.5)
    var bytes = try DlibBytes(scaled)
    func seen(_ level: Tensor) throws -> Tensor {
      try level.withValues(of: Tensor(bytes.values, shape: level.shape, device: level.device))
    }
    return try pyramid(height: images.shape[2], width: images.shape[3]).levels(seen(scaled)) { level in
      bytes = bytes.shrunk(height: level.shape[2], width: level.shape[3])
      return try seen(level)
    }
  }

  /// The scores [N, priors] of a level's features.
  private func scores(_ features: Tensor) throws -> Tensor {
    // A filter's middle is the cell after its first half.
    let (before, after) = ((Self.side - 1) / 2, Self.side / 2)
    return try features.padded(top: before, bottom: after, left: before, right: after)
      .convolved(with: filters, bias: bias).reshaped([features.shape[0], -1])
  }

  package func heads(_ images: Tensor) throws -> DetectorHeads {
    let features = try Self.levels(images).map(OrientedGradients.features)
    return try Self.heads(Tensor.concatenated(features.map(scores), axis: 1), features: Array(features.prefix(3)))
  }

  package func margins(_ images: Tensor, where relevant: [Bool]) throws -> Tensor {
    var first = 0
    let parts = try Self.levels(images).map { level -> Tensor in
      let priors = Self.count((level.shape[2], level.shape[3]))
      defer { first += priors }
      guard relevant[first..<first + priors].contains(true) else {
        return try Tensor(repeating: 0, shape: [images.shape[0], priors], device: images.device)
      }
      return try Self.margins(scores(OrientedGradients.features(level)))
    }
    return try Tensor.concatenated(parts, axis: 1)
  }

  package func priorBoxes(height: Int, width: Int) -> [Box] {
    Self.pyramid(height: height, width: width).sizes.enumerated().flatMap { level, size -> [Box] in
      let (rows, columns) = (OrientedGradients.cells(size.height), OrientedGradients.cells(size.width))
      /// The pixel in the middle of a cell, away from the border before it.
      func middle(_ cell: Int) -> Double {
        let start = OrientedGradients.cell * cell + 1
        return Double(start + (start < 0 ? -1 : 1) * OrientedGradients.cell / 2)
      }
      let boxes = (0..<rows * columns).map { place in
        let (row, column) = (place / columns - 3, place % columns - 3)
        return DlibPyramid.box(
          left: middle(column), top: middle(row), right: middle(column + Self.side - 1),
          bottom: middle(row + Self.side - 1), level: level)
      }
      return (0..<Self.filterCount).flatMap { _ in boxes }
    }
  }
}

@available(*, unavailable)
extension DlibHOG: Sendable {}
