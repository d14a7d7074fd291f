import Foundation
import Kernels

/// Which part of a picture the perturbation is laid on.
public enum ProtectedRegion: String, Codable, CaseIterable, Sendable {
  /// Each face's square with margin; the whole picture where no face is found.
  case faces
  /// The whole picture: aligned faces.
  case image
}

/// How pictures are protected.
public struct ProtectionSettings: Codable, Equatable, Sendable {
  public var region = ProtectedRegion.faces
  /// The largest change of a channel, in units of [-1, 1].
  public var epsilon: Float = 0.05
  /// Gradient steps for each face.
  public var refineSteps = 0
  /// The side of a face's square, as a multiple of its box's longer side.
  public var margin: Float = 1.5
  /// Pictures with a longer side are shrunk to this for detection.
  public var longestSide = 1280
  public var seed: UInt64 = 1
  /// The SHA-256 of the perturbation's file.
  public var perturbation = ""

  public init() {}
}

/// A protected picture and what was done.
public struct ProtectionResult {
  public let image: Image
  /// Squares that were protected; the whole picture when it was taken as one.
  public let regions: [Box]
  /// Faces found; 0 where the whole picture was protected for lack of one.
  public let faceCount: Int
  public let psnr: Double
  /// From 32 of the picture's rows.
  public let ssim: Double
}

/// Lays a universal perturbation on pictures, refined for each if asked. Pictures may be protected from several threads:
/// the device works for one at a time, the rest runs side by side.
public final class Protector: @unchecked Sendable {
  private let perturbation: Tensor
  private let settings: ProtectionSettings
  private let detector: (any FaceDetector)?
  private let refiner: Refiner?
  private let device: any Device
  /// Faces larger than this are refined at this size.
  private let largestRefinedSide = 384
  /// Pixels around a face's square that detectors have in view while it is refined, and what the view's origin is a multiple
  /// of, so that prior boxes lie as they do in the whole picture: a face that is hidden in a picture of its square alone was
  /// still found in the photo.
  private let surroundings = 96, grid = 32
  private let lock = NSLock()
  /// What whole pictures of the last few sizes and formats are moved by, oldest first: a collection's are often alike.
  private var wholeMoves: [(size: [Int], moves: [Int16])] = []
  private let keptMoves = 32 << 20

  /// - Parameters:
  ///   - detector: finds the faces; needed unless the region is the image.
  ///   - refiner: needed when steps are asked for.
  public init(
    perturbation: Tensor, settings: ProtectionSettings, detector: (any FaceDetector)?, refiner: Refiner?,
    device: any Device
  ) throws {
    guard settings.region == .image || detector != nil else {
      throw KernelsError.usage("finding faces needs a detector")
    }
    guard settings.refineSteps == 0 || refiner != nil else { throw KernelsError.usage("refinement needs a refiner") }
    // The universal perturbation was made for its own budget; a smaller one clips it.
    self.perturbation = try perturbation.clamped(to: -settings.epsilon...settings.epsilon)
    (self.settings, self.detector, self.refiner, self.device) = (settings, detector, refiner, device)
  }

  /// Protects an upright picture.
  public func protect(_ image: Image) throws -> ProtectionResult {
    let (moves, regions, faceCount) = try lock.withLock { try plan(image) }
    let result = image.adding(moves: moves)
    return ProtectionResult(
      image: result, regions: regions, faceCount: faceCount, psnr: psnr(result, image),
      ssim: sampledSSIM(result, image))
  }

  /// The steps that the picture's samples move by, where, and for how many faces.
  private func plan(_ image: Image) throws -> (moves: [Int16], regions: [Box], faceCount: Int) {
    var faces: [Detection] = []
    if settings.region == .faces, let detector {
      faces = try detector.detect(image, longestSide: settings.longestSide, on: device)
    }
    let whole = Box(x0: 0, y0: 0, x1: Float(image.width), y1: Float(image.height))
    let size = [image.width, image.height, image.channels, image.bitDepth]
    if faces.isEmpty, settings.refineSteps == 0, let known = wholeMoves.first(where: { $0.size == size }) {
      return (known.moves, [whole], 0)
    }
    let regions = faces.isEmpty ? [whole] : faces.map { square($0.box) }
    var sum = [Float](repeating: 0, count: 3 * image.width * image.height)
    for region in regions { try lay(region, on: image, into: &sum) }
    let limit = settings.epsilon
    for i in sum.indices { sum[i] = max(-limit, min(limit, sum[i])) }
    let moves = image.moves(of: sum, budget: limit)
    if faces.isEmpty, settings.refineSteps == 0 {
      wholeMoves.append((size, moves))
      while wholeMoves.reduce(0, { $0 + $1.moves.count }) > keptMoves { wholeMoves.removeFirst() }
    }
    return (moves, regions, faces.count)
  }

  private func square(_ box: Box) -> Box {
    let side = max(16, (max(box.width, box.height) * settings.margin).rounded())
    let (left, top) = ((box.centerX - side / 2).rounded(), (box.centerY - side / 2).rounded())
    return Box(x0: left, y0: top, x1: left + side, y1: top + side)
  }

  /// Adds the perturbation of one region, brought to its size and cut at the picture's edges.
  private func lay(_ region: Box, on image: Image, into sum: inout [Float]) throws {
    let (width, height) = (Int(region.width), Int(region.height))
    let (left, top) = (Int(region.x0), Int(region.y0))
    let columns = max(0, left)..<min(image.width, left + width)
    let rows = max(0, top)..<min(image.height, top + height)
    guard !columns.isEmpty, !rows.isEmpty else { return }
    var delta = try resized(perturbation, height: height, width: width)
    if settings.refineSteps > 0, let refiner, columns.count >= 48, rows.count >= 48 {
      // Only what is inside the picture can be seen, so only that is refined.
      let start = try ImagePart(
        rows: rows.lowerBound - top..<rows.upperBound - top,
        columns: columns.lowerBound - left..<columns.upperBound - left
      ).cut(delta)
      let scale = min(1, Float(largestRefinedSide) / Float(max(rows.count, columns.count)))
      let (rowView, columnView) = (view(rows, of: image.height), view(columns, of: image.width))
      let seen = try image.cropped(
        x: columnView.lowerBound, y: rowView.lowerBound, width: columnView.count, height: rowView.count
      ).tensor(on: device)
      func scaled(_ range: Range<Int>, in view: Range<Int>) -> Range<Int> {
        let first = Int(Float(range.lowerBound - view.lowerBound) * scale)
        return first..<first + max(48, Int(Float(range.count) * scale))
      }
      let part = ImagePart(rows: scaled(rows, in: rowView), columns: scaled(columns, in: columnView))
      let (h, w) = (
        max(part.rows.upperBound, Int(Float(rowView.count) * scale)),
        max(part.columns.upperBound, Int(Float(columnView.count) * scale))
      )
      let placed = try resized(start, height: part.rows.count, width: part.columns.count).padded(
        top: part.rows.lowerBound, bottom: h - part.rows.upperBound, left: part.columns.lowerBound,
        right: w - part.columns.upperBound)
      let refined = try refiner.refine(
        resized(seen, height: h, width: w), start: placed, within: part, steps: settings.refineSteps,
        epsilon: settings.epsilon, seed: settings.seed)
      delta = try resized(part.cut(refined), height: rows.count, width: columns.count)
      add(try delta.values(), rows: rows, columns: columns, from: (0, 0), stride: columns.count, of: image, into: &sum)
      return
    }
    add(
      try delta.values(), rows: rows, columns: columns, from: (rows.lowerBound - top, columns.lowerBound - left),
      stride: width, of: image, into: &sum)
  }

  /// What is looked at around a range of rows or columns.
  private func view(_ range: Range<Int>, of length: Int) -> Range<Int> {
    max(0, range.lowerBound - surroundings) / grid * grid..<min(length, range.upperBound + surroundings)
  }

  private func resized(_ x: Tensor, height: Int, width: Int) throws -> Tensor {
    try x.resized(height: height, width: width, mode: height < x.shape[2] && width < x.shape[3] ? .area : .bilinear)
  }

  /// Adds planes whose element (row, column) of `from` lies at the region's first pixel.
  private func add(
    _ values: [Float], rows: Range<Int>, columns: Range<Int>, from: (row: Int, column: Int), stride: Int,
    of image: Image, into sum: inout [Float]
  ) {
    let plane = values.count / 3
    for channel in 0..<3 {
      for y in rows {
        let source = channel * plane + (y - rows.lowerBound + from.row) * stride + from.column
        let target = (channel * image.height + y) * image.width
        for x in columns { sum[target + x] += values[source + x - columns.lowerBound] }
      }
    }
  }
}
