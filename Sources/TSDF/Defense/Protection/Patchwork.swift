import Foundation
import Pictures

/// What one region adds to a picture, at the size at which it was made: a value for each square of the picture's pixels.
struct Patch: Sendable {
  let place: PatchPlace
  /// Planes [3, rows, columns] in units of [-1, 1].
  var planes: [Float]

  /// Adds a row of the picture to the sums of some of its columns, plane by plane.
  fileprivate func add(row: Int, columns: Range<Int>, to sums: UnsafeMutablePointer<Float>, planeLength: Int) {
    let (width, height) = (place.width, place.height)
    let (upper, lower, blend) = Self.neighbours(row - place.rows.lowerBound, place.factor, height)
    let part = columns.clamped(to: place.columns)
    planes.withUnsafeBufferPointer { planes in
      for x in part {
        let (left, right, share) = Self.neighbours(x - place.columns.lowerBound, place.factor, width)
        for channel in 0..<3 {
          let plane = channel * height
          let (above, below) = ((plane + upper) * width, (plane + lower) * width)
          let first = planes[above + left] + share * (planes[above + right] - planes[above + left])
          let second = planes[below + left] + share * (planes[below + right] - planes[below + left])
          sums[channel * planeLength + x - columns.lowerBound] += first + blend * (second - first)
        }
      }
    }
  }

  /// How much each of a patch's values along an extent adds to the mean of each span, [spans, values].
  /// - Parameter pixels: of the picture, that the values stand for.
  static func weights(of spans: [AreaSpan], in pixels: Range<Int>, factor: Int) -> [Float] {
    let count = pixels.count / factor
    var weights = [Float](repeating: 0, count: spans.count * count)
    for (index, span) in spans.enumerated() {
      for (pixel, share) in span.pixels where pixels.contains(pixel) {
        let (first, second, blend) = neighbours(pixel - pixels.lowerBound, factor, count)
        weights[index * count + first] += share * (1 - blend)
        weights[index * count + second] += share * blend
      }
    }
    return weights
  }

  /// The values on either side of a pixel, and how much the second counts.
  @inline(__always)
  private static func neighbours(_ pixel: Int, _ factor: Int, _ count: Int) -> (Int, Int, Float) {
    guard factor > 1 else { return (pixel, pixel, 0) }
    let at = max(0, (Float(pixel) + 0.5) * (1 / Float(factor)) - 0.5)
    let first = min(Int(at), count - 1)
    return (first, min(first + 1, count - 1), at - Float(first))
  }
}

/// A picture and what is added to it. The picture stays as it is stored; floats are made for a few rows at a time.
struct Patchwork: Sendable {
  let original: Image
  /// The largest change of a channel, in units of [-1, 1].
  let budget: Float
  /// Of each region; nil until it is made.
  var patches: [Patch?] = []
  /// Whether the whole picture is grey: then it stays so.
  private let isNeutral: Bool

  init(_ original: Image, budget: Float) {
    (self.original, self.budget) = (original, budget)
    isNeutral = original.isNeutral
  }

  /// The whole picture with all that is added.
  var sum: Image { part(rows: 0..<original.height, columns: 0..<original.width) }

  /// A rectangle of the picture with what is added to it, but by one of the patches.
  func part(rows: Range<Int>, columns: Range<Int>, without left: Int? = nil) -> Image {
    var result = original.cropped(
      x: columns.lowerBound, y: rows.lowerBound, width: columns.count, height: rows.count)
    let stripHeight = 32
    for top in stride(from: rows.lowerBound, to: rows.upperBound, by: stripHeight) {
      let strip = top..<min(top + stripHeight, rows.upperBound)
      let near = patches.indices.filter { index in
        guard index != left, let place = patches[index]?.place else { return false }
        return place.rows.overlaps(strip) && place.columns.overlaps(columns)
      }.map { patches[$0]! }
      guard let first = near.map(\.place.columns.lowerBound).min(),
        let last = near.map(\.place.columns.upperBound).max()
      else { continue }
      let across = (first..<last).clamped(to: columns)
      let piece = original.cropped(x: across.lowerBound, y: top, width: across.count, height: strip.count)
      result.replace(
        x: across.lowerBound - columns.lowerBound, y: top - rows.lowerBound,
        with: piece.adding(change(near, rows: strip, columns: across), budget: budget, asNeutral: isNeutral))
    }
    return result
  }

  /// The sum of patches over a rectangle, within the budget, planes [3, rows, columns].
  private func change(_ patches: [Patch], rows: Range<Int>, columns: Range<Int>) -> [Float] {
    let plane = rows.count * columns.count
    var sums = [Float](repeating: 0, count: 3 * plane)
    sums.withUnsafeMutableBufferPointer { sums in
      for patch in patches {
        for row in rows.clamped(to: patch.place.rows) {
          patch.add(
            row: row, columns: columns, to: sums.baseAddress! + (row - rows.lowerBound) * columns.count,
            planeLength: plane)
        }
      }
      for i in sums.indices { sums[i] = max(-budget, min(budget, sums[i])) }
    }
    return sums
  }
}

extension Image {
  /// Puts another picture of the same format over a part of this one.
  fileprivate mutating func replace(x: Int, y: Int, with part: Image) {
    let pixel = channels * bitDepth / 8
    let length = part.width * pixel
    for row in 0..<part.height {
      let start = ((y + row) * width + x) * pixel
      bytes.replaceSubrange(start..<start + length, with: part.bytes[row * length..<(row + 1) * length])
    }
  }
}
