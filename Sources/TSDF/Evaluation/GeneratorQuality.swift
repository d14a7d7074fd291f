import Kernels
import Networks
import Pictures

/// How good a generator's edits of faces are, without any protection.
public struct GeneratorQuality: Codable, Equatable, Sendable {
  /// One of its edits.
  public struct Edit: Codable, Equatable, Sendable {
    /// The edit's name.
    public var name: String
    /// The share of faces whose edit shows what was asked for, as the classifier sees it, and of faces that showed it before; nil where
    /// the classifier knows no such attribute.
    public var success: Estimate?, before: Estimate?
    /// The share of pixels that it changes, by the mask of L2mask.
    public var changed: Estimate?
    /// LPIPS between the face and the face with all of the edit but what lies in that mask, 0 where nothing else changes; nil without the
    /// network.
    public var outside: Estimate?
  }

  /// How many faces were edited.
  public var faces: Int
  /// One for each edit, in the generator's order.
  public var edits: [Edit]
  /// Over all edits; a face's go together in the intervals.
  public var success: Estimate?, before: Estimate?, changed: Estimate?, outside: Estimate?
  /// The Frechet inception distance of all edits from other real faces, and of the faces themselves; nil without the network. Both
  /// grow where pictures are few.
  public var fid: Double?, fidOfFaces: Double?

  /// - Parameters:
  ///   - generator: at its own size.
  ///   - faces: aligned; their labels are what edits start from.
  ///   - others: real faces that the distance is from.
  ///   - classifier: tells which attributes a face shows.
  ///   - networks: those that metrics need.
  ///   - seed: of all that is drawn.
  ///   - device: where it is done.
  ///   - progress: told how many of how many edits are done.
  public init(
    of generator: any Generator, faces: [JudgedPhoto], others: [JudgedPhoto], classifier: AttributeClassifier,
    networks: MetricNetworks, seed: UInt64, device: any Device, progress: (Int, Int) throws -> Void = { _, _ in }
  ) throws {
    let side = generator.imageSize
    func planes(_ photos: [JudgedPhoto]) throws -> [[Float]] {
      try photos.map { try View($0, device: device).input(generator, face: 0).values() }
    }
    let originals = try planes(faces)
    var (measured, pictures) = ([Measured](), [[Float]]())
    for edit in generator.edits.indices {
      var one = Measured()
      var rests: [[Float]] = []
      for first in stride(from: 0, to: faces.count, by: Self.batch) {
        try progress(edit * faces.count + first, generator.edits.count * faces.count)
        let range = first..<min(first + Self.batch, faces.count)
        let labels = faces[range].map { $0.labels(named: generator.attributes) }
        var random = RandomStream(seed: seed &+ UInt64(first))
        let (edited, logits) = try Autograd.withoutRecording {
          let images = try Tensor(originals[range].flatMap { $0 }, shape: [range.count, 3, side, side], device: device)
          let condition = try generator.condition(
            range.map { _ in edit }, labels: labels, random: &random, device: device)
          let edited = try generator(images, condition: condition).image.clamped(to: -1...1)
          return (try edited.values(), try [images, edited].map { try classifier($0).values() })
        }
        let area = 3 * side * side
        for (n, face) in range.enumerated() {
          let picture = Array(edited[n * area..<(n + 1) * area])
          let (rest, changed) = Self.outsideMask(original: originals[face], edit: picture)
          one.changed.append(changed)
          rests.append(rest)
          pictures.append(picture)
          let asked = generator.asked(edit, labels: labels[n])
          let column = classifier.attributes.firstIndex(of: asked.attribute)
          func shows(_ logits: [Float]) -> Double? {
            column.map { (logits[n * classifier.attributes.count + $0] > 0) == (asked.value == 1) ? 1 : 0 }
          }
          one.before.append(shows(logits[0]))
          one.success.append(shows(logits[1]))
        }
      }
      one.outside = try networks.distances(originals, rests, side: side, on: device)
      measured.append(one)
    }
    self.faces = faces.count
    edits = zip(generator.edits, measured).map { name, one in
      Edit(
        name: name, success: bootstrap([one.success]), before: bootstrap([one.before]),
        changed: bootstrap([one.changed]), outside: bootstrap([one.outside]))
    }
    success = Self.overall(measured.map(\.success))
    before = Self.overall(measured.map(\.before))
    changed = Self.overall(measured.map(\.changed))
    outside = Self.overall(measured.map(\.outside))
    if networks.inception != nil {
      let real = try networks.features(planes(others), side: side, on: device)
      fid = try frechetDistance(real, networks.features(pictures, side: side, on: device))
      fidOfFaces = try frechetDistance(real, networks.features(originals, side: side, on: device))
    }
  }

  private static let batch = 16

  /// Of one edit, a value a face.
  private struct Measured {
    var success: [Double?] = [], before: [Double?] = [], changed: [Double?] = [], outside: [Double?] = []
  }

  /// Each face's mean over the edits, so that the faces alone are drawn anew.
  private static func overall(_ edits: [[Double?]]) -> Estimate? {
    bootstrap([
      (edits.first ?? []).indices.map { face in
        let values = edits.compactMap { face < $0.count ? $0[face] : nil }
        return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
      }
    ])
  }

  /// The edit outside its mask and the original inside it, and the share of pixels in the mask; planes [3, height, width].
  package static func outsideMask(original: [Float], edit: [Float]) -> (picture: [Float], changed: Double) {
    let area = original.count / 3
    var (picture, count) = (edit, 0)
    for pixel in 0..<area where isChanged(pixel, original: original, edit: edit) {
      count += 1
      for channel in 0..<3 { picture[channel * area + pixel] = original[channel * area + pixel] }
    }
    return (picture, Double(count) / Double(area))
  }
}
