import Foundation
import Kernels
import Networks
import Pictures

/// Which part of a picture the perturbation is laid on.
public enum ProtectedRegion: String, Codable, CaseIterable, Sendable {
  /// Each face's square with margin; the whole picture where no face is found.
  case faces
  /// The whole picture: aligned faces.
  case image
}

/// What the steps of refinement begin with.
public enum RefinementStart: String, Codable, CaseIterable, Sendable {
  /// Noise of the whole budget, of each picture's own: what pictures have in common is nothing.
  case random
  /// The universal perturbation.
  case universal
}

/// How pictures are protected.
public struct ProtectionSettings: Codable, Equatable, Sendable {
  public var region = ProtectedRegion.faces
  /// The largest change of a channel, in units of [-1, 1].
  public var epsilon: Float = 0.05
  /// Gradient steps for each face.
  public var refineSteps = 0
  public var start = RefinementStart.random
  /// How much of epsilon the steps may use where a picture is flat, 0...1: noise shows there most.
  public var smoothShare: Float = 1
  /// The side of a face's square, as a multiple of its box's longer side.
  public var margin: Float = 1.5
  /// Pictures with a longer side are shrunk to this for detection.
  public var longestSide = 1280
  public var seed: UInt64 = 1
  /// The SHA-256 of the perturbation's file, and of the classifier's that tells which edits of a face there are.
  public var perturbation = "", classifier = ""

  public init() {}
}

/// A protected picture and what was done.
public struct ProtectionResult: Sendable {
  public let image: Image
  /// Squares that were protected; the whole picture when it was taken as one.
  public let regions: [Box]
  /// Faces found; 0 where the whole picture was protected for lack of one.
  public let faceCount: Int
  /// How many of these a detector that was refined against still finds in the protected picture; nil where refinement was not to hide them.
  public let stillFoundCount: Int?
  public let psnr: Double
  /// From 32 of the picture's rows.
  public let ssim: Double
}

/// Lays a universal perturbation on pictures, or one that is made for each by steps of refinement. It belongs to one thread at a time, with its device;
/// `SharedProtector` serves several.
public final class Protector {
  /// The detectors that faces are hidden from unless others are asked for; the first finds them. Each more takes time, and budget from
  /// all: with CenterFace too, AttentionGAN's edits of a face in a photo stayed whole.
  public static let defaultDetectors = [RetinaFace.name]
  /// Steps of refinement unless others are asked for.
  public static let defaultSteps = 100

  public let settings: ProtectionSettings
  private let perturbation: Tensor
  private let detector: (any FaceDetector)?
  private let refiner: Refiner?
  let device: any Device
  /// Pixels around a face's square that detectors have in view while it is refined, and what the view's origin is a multiple
  /// of, so that prior boxes lie as they do in the whole picture: a face that is hidden in a picture of its square alone was
  /// still found in the photo. Detectors that resize pictures have all of it in view.
  private let surroundings = 96, grid = 32
  /// Pictures smaller than this, as detectors see them, are not refined.
  private let smallestRefinedSide = 48
  /// How often a face that is still found is refined.
  private let rounds = 3
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
    try plan(image).carriedOut(on: image)
  }

  /// The steps that a picture's samples move by, where, and for which faces: what the device is needed for.
  struct Plan: Sendable {
    var moves: [Int16]
    var regions: [Box]
    var faceCount = 0
    var stillFoundCount: Int?

    /// The picture with its samples moved, and by how much that changed it.
    func carriedOut(on image: Image) -> ProtectionResult {
      let (result, psnr) = image.moved(by: moves)
      return ProtectionResult(
        image: result, regions: regions, faceCount: faceCount, stillFoundCount: stillFoundCount, psnr: psnr,
        ssim: sampledSSIM(result, image))
    }
  }

  func plan(_ image: Image) throws -> Plan {
    var faces: [Box] = []
    if settings.region == .faces, let detector { faces = try find(detector, in: image) }
    let whole = Box(x0: 0, y0: 0, x1: Float(image.width), y1: Float(image.height))
    let size = [image.width, image.height, image.channels, image.bitDepth, image.isNeutral ? 1 : 0]
    if faces.isEmpty, settings.refineSteps == 0, let known = wholeMoves.first(where: { $0.size == size }) {
      return Plan(moves: known.moves, regions: [whole])
    }
    let regions = faces.isEmpty ? [whole] : faces.map(square)
    // At the size at which detectors look at the picture: what is refined at another is undone by the resize.
    let seen = settings.refineSteps > 0 ? try image.tensor(shrunkTo: settings.longestSide, on: device) : nil
    let seed = settings.seed &+ (seen == nil ? 0 : image.seed)
    func refined(_ patch: Patch, round: Int) throws -> Patch {
      try seen.map { try self.refined(patch, of: image, seen: $0, round: round, seed: seed) } ?? patch
    }
    var patches = try regions.map { try refined(patch($0, of: image, isSoft: !faces.isEmpty), round: 0) }
    var plan = Plan(moves: try moves(patches, of: image), regions: regions, faceCount: faces.count)
    if faces.isEmpty, settings.refineSteps == 0 {
      wholeMoves.append((size, plan.moves))
      while wholeMoves.reduce(0, { $0 + $1.moves.count }) > keptMoves { wholeMoves.removeFirst() }
    }
    guard !faces.isEmpty, settings.refineSteps > 0, let refiner, refiner.hidesFaces else { return plan }
    for round in 1...rounds {
      let made = image.adding(moves: plan.moves)
      let found = try refiner.detectors.flatMap { try find($0, in: made) }
      let still = faces.indices.filter { face in found.contains { $0.iou(faces[face]) >= 0.5 } }
      plan.stillFoundCount = still.count
      if still.isEmpty || round == rounds { break }
      for face in still { patches[face] = try refined(patches[face], round: round) }
      plan.moves = try moves(patches, of: image)
    }
    return plan
  }

  private func find(_ detector: any FaceDetector, in image: Image) throws -> [Box] {
    let whole = Box(x0: 0, y0: 0, x1: Float(image.width), y1: Float(image.height))
    let found = try detector.detect(image, longestSide: settings.longestSide, on: device)
    return found.map(\.box).filter { $0.intersection(whole) >= 1 }
  }

  private func square(_ box: Box) -> Box {
    let side = max(16, (max(box.width, box.height) * settings.margin).rounded())
    let (left, top) = ((box.centerX - side / 2).rounded(), (box.centerY - side / 2).rounded())
    return Box(x0: left, y0: top, x1: left + side, y1: top + side)
  }

  /// What one region adds to the picture: [1, 3, rows, columns], cut at the picture's edges.
  private struct Patch {
    var rows: Range<Int>, columns: Range<Int>
    var delta: Tensor
    /// How much of the budget each pixel gets, [1, 1, rows, columns]; nil for all of it.
    let share: Tensor?
  }

  /// The universal perturbation brought to a region's size.
  /// - Parameter isSoft: whether it fades out towards the region's border, as befits a part of a picture.
  private func patch(_ region: Box, of image: Image, isSoft: Bool) throws -> Patch {
    let (left, top) = (Int(region.x0), Int(region.y0))
    let columns = max(0, left)..<min(image.width, left + Int(region.width))
    let rows = max(0, top)..<min(image.height, top + Int(region.height))
    let inside = ImagePart(
      rows: rows.lowerBound - top..<rows.upperBound - top,
      columns: columns.lowerBound - left..<columns.upperBound - left)
    let delta = try inside.cut(resized(perturbation, height: Int(region.height), width: Int(region.width)))
    let share = try isSoft ? inside.cut(Visibility.square(side: Int(region.width), device: device)) : nil
    return Patch(rows: rows, columns: columns, delta: try share.map { try delta * $0 } ?? delta, share: share)
  }

  /// A patch after the steps of refinement, which look at it in its surroundings; as it was in a picture that is too small.
  /// - Parameter seen: the picture as detectors look at it.
  private func refined(_ patch: Patch, of image: Image, seen: Tensor, round: Int, seed: UInt64) throws -> Patch {
    guard let refiner, min(seen.shape[2], seen.shape[3]) >= smallestRefinedSide else { return patch }
    /// The rows or columns of `seen` that those of the picture come to lie on.
    func scaled(_ range: Range<Int>, _ length: Int, to seenLength: Int) -> Range<Int> {
      let scale = Float(seenLength) / Float(length)
      let first = min(Int((Float(range.lowerBound) * scale).rounded()), seenLength - 1)
      return first..<min(seenLength, max(first + 1, Int((Float(range.upperBound) * scale).rounded())))
    }
    let rows = scaled(patch.rows, image.height, to: seen.shape[2])
    let columns = scaled(patch.columns, image.width, to: seen.shape[3])
    let near = ImagePart(rows: view(rows, of: seen.shape[2]), columns: view(columns, of: seen.shape[3]))
    let view =
      refiner.needsWholePictures ? ImagePart(rows: 0..<seen.shape[2], columns: 0..<seen.shape[3]) : near
    let part = ImagePart(rows: rows, columns: columns).relative(to: view)
    /// A patch's values in the view, 0 around it.
    func placed(_ values: Tensor) throws -> Tensor {
      try resized(values, height: rows.count, width: columns.count).padded(
        top: part.rows.lowerBound, bottom: view.rows.upperBound - rows.upperBound, left: part.columns.lowerBound,
        right: view.columns.upperBound - columns.upperBound)
    }
    let start = round == 0 && settings.start == .random ? nil : try placed(patch.delta)
    let picture = try view.cut(seen)
    let inside =
      try patch.share.map(placed) ?? part.mask(height: view.rows.count, width: view.columns.count, device: device)
    let share =
      try settings.smoothShare < 1 ? inside * Visibility.texture(picture, smoothShare: settings.smoothShare) : inside
    let delta = try refiner.refine(
      picture, start: start, within: part, near: near.relative(to: view), share: share,
      isHidingFirst: round > 0, steps: settings.refineSteps, epsilon: settings.epsilon,
      seed: seed &+ UInt64(round))
    var result = patch
    result.delta = try resized(part.cut(delta), height: patch.rows.count, width: patch.columns.count)
    return result
  }

  /// What is looked at around a range of rows or columns.
  private func view(_ range: Range<Int>, of length: Int) -> Range<Int> {
    max(0, range.lowerBound - surroundings) / grid * grid..<min(length, range.upperBound + surroundings)
  }

  private func resized(_ x: Tensor, height: Int, width: Int) throws -> Tensor {
    try x.resized(height: height, width: width, mode: height < x.shape[2] && width < x.shape[3] ? .area : .bilinear)
  }

  /// The sum of the patches, within the budget, in steps of the picture's samples.
  private func moves(_ patches: [Patch], of image: Image) throws -> [Int16] {
    var sum = [Float](repeating: 0, count: 3 * image.width * image.height)
    for patch in patches {
      let values = try patch.delta.values()
      var source = 0
      for channel in 0..<3 {
        for y in patch.rows {
          let target = (channel * image.height + y) * image.width
          for x in patch.columns {
            sum[target + x] += values[source]
            source += 1
          }
        }
      }
    }
    let limit = settings.epsilon
    for i in sum.indices { sum[i] = max(-limit, min(limit, sum[i])) }
    return image.moves(of: sum, budget: limit)
  }
}

@available(*, unavailable)
extension Protector: Sendable {}

extension Image {
  /// A number that follows from the samples: of each picture its own.
  fileprivate var seed: UInt64 { sha256(Data(bytes)).prefix(8).reduce(0) { $0 << 8 | UInt64($1) } }
}
