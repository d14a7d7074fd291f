import Foundation
import Kernels
import Networks
import Pictures

/// Judges protections on faces that nothing was crafted or trained on (method section 5). Every picture is rounded to 8
/// bits before it is judged, as a saved file is.
public final class Evaluator {
  let generators: [(name: String, generator: any Generator)]
  let detectors: [(name: String, detector: any FaceFinder)]
  private let networks: MetricNetworks
  let device: any Device
  private let seed: UInt64

  /// - Parameters:
  ///   - generators: what edits the faces, by the names that reports have.
  ///   - detectors: what looks for faces, by the names that reports have.
  ///   - networks: what else edits are measured by.
  ///   - seed: of edits that vary, and of what attacks draw.
  ///   - device: where the networks are.
  public init(
    generators: [(name: String, generator: any Generator)], detectors: [(name: String, detector: any FaceFinder)],
    networks: MetricNetworks = MetricNetworks(), seed: UInt64, device: any Device
  ) {
    (self.generators, self.detectors, self.networks) = (generators, detectors, networks)
    (self.seed, self.device) = (seed, device)
  }

  /// An edit: the planes of what a generator was given and of what it made, at its own size.
  struct Edit {
    var input: [Float], output: [Float]
  }

  /// What generators and detectors make of a picture.
  struct Look {
    /// For each generator, every edit of the first face, then of the next.
    var edits: [[Edit]]
    /// For each generator, Inception's features of each edit; empty without Inception.
    var features: [[[Float]]]
    /// For each detector.
    var detections: [[Detection]]
  }

  /// A photo, what was made of it and what models make of both.
  public struct Judgement {
    /// The photo, and what was made of it.
    public let photo: JudgedPhoto, protected: Image
    let clean: Look, seen: Look
  }

  /// What each photo is measured for.
  public func plan(_ variants: [ProtectionVariant], attacks: [Purification]) -> EvaluationPlan {
    EvaluationPlan(
      generators: generators.map { .init(name: $0.name, model: type(of: $0.generator).name) },
      detectors: detectors.map(\.name), measuresFID: networks.inception != nil,
      variants: variants.map { .init(name: $0.name, refineSteps: $0.refineSteps, targets: $0.targets) },
      attacks: [nil] + attacks.map(\.recipe.name))
  }

  /// Protects each photo of a part once by each variant, and judges it as it is and after each attack. An attacker who learns from
  /// other protected photos gets those that follow, from the first again after the last, whatever the part is.
  /// - Parameters:
  ///   - photos: all that are judged, in their order.
  ///   - part: in 0 ..< the number of photos.
  ///   - variants: the protections that are compared.
  ///   - attacks: what is done to the photos before they are judged.
  ///   - progress: called with the photo's number and what was done; what it throws ends the work.
  ///   - each: is given what each photo gave, in their order, and what the last variant made of it; nil for a photo without a face.
  public func measure(
    _ photos: JudgedPhotos, _ part: Range<Int>, _ variants: [ProtectionVariant], attacks: [Purification],
    progress: (Int, String) throws -> Void, each: (MeasuredPhoto, Judgement?) throws -> Void
  ) throws {
    let learning = attacks.contains { $0.recipe.learnsFromOthers }
    let protected = variants.map { variant in
      ProtectedCopies(photos, part, of: variant, isKeeping: learning)
    }
    for index in part {
      guard let photo = try photos[index] else {
        try each(MeasuredPhoto(index: index, cleanFeatures: [], tallies: []), nil)
        continue
      }
      let clean = try look(View(photo, device: device))
      try progress(index, "clean")
      var tallies: [[EvaluationTally]] = []
      var shown: Judgement?
      for (variant, protected) in zip(variants, protected) {
        let image = try protected(index, photo: photo)!.image
        try progress(index, variant.name)
        let tally = try ([nil] + attacks).map { attack in
          let view = try View(
            photo, image, after: attack, others: protected.others(than: index), seed: seed &+ UInt64(index),
            device: device)
          let seen = try look(view)
          if attack == nil { shown = Judgement(photo: photo, protected: image, clean: clean, seen: seen) }
          if let attack { try progress(index, "\(variant.name), \(attack.recipe.name)") }
          return EvaluationTally(
            of: view.image, seen, photo, clean, sides: generators.map(\.generator.imageSize),
            networks: try opinion(of: clean, seen, photo, view.image))
        }
        tallies.append(tally)
      }
      try each(MeasuredPhoto(index: index, cleanFeatures: clean.features, tallies: tallies), shown)
    }
  }

  /// What generators and detectors make of a photo and of what was made of it, by whomever.
  public func judge(_ photo: JudgedPhoto, protected: Image) throws -> Judgement {
    Judgement(
      photo: photo, protected: protected, clean: try look(View(photo, device: device)),
      seen: try look(View(photo, image: protected, device: device)))
  }

  /// Every generator's edits of every face, and every detector's faces.
  func look(_ view: View) throws -> Look {
    let photo = view.photo
    let made = try generators.map { _, generator in
      try photo.faces.indices.flatMap {
        try edits(view.input(generator, face: $0), generator, labels: photo.labels(named: generator.attributes))
      }
    }
    return Look(
      edits: made,
      features: try zip(generators, made).map {
        try networks.features($1.map(\.output), side: $0.generator.imageSize, on: device)
      },
      detections: try detectors.map { try view.detections($0.detector) })
  }

  private func edits(_ input: Tensor, _ generator: any Generator, labels: [Float]) throws -> [Edit] {
    let count = generator.edits.count
    // The same styles for the original and the protected picture.
    var random = RandomStream(seed: seed)
    let condition = try generator.condition(
      Array(0..<count), labels: [[Float]](repeating: labels, count: count), random: &random, device: device)
    let repeated = try input.broadcast(to: [count, 3, generator.imageSize, generator.imageSize])
    let values = try Autograd.withoutRecording { try generator(repeated, condition: condition).image.values() }
    let (size, given) = (values.count / count, try input.values())
    return (0..<count).map { Edit(input: given, output: Array(values[$0 * size..<($0 + 1) * size])) }
  }

  /// What networks say of edits of a photo and of what was made of it, for each generator, and of both faces.
  struct NetworkOpinion {
    var distances: [[Double]], similarities: [[Double]]
    /// LPIPS between faces and what was made of them.
    var visibleDistances: [Double]
  }

  private func opinion(of clean: Look, _ seen: Look, _ photo: JudgedPhoto, _ image: Image) throws -> NetworkOpinion {
    func each(_ measure: ([[Float]], [[Float]], Int) throws -> [Double]) throws -> [[Double]] {
      try generators.indices.map {
        try measure(clean.edits[$0].map(\.output), seen.edits[$0].map(\.output), generators[$0].generator.imageSize)
      }
    }
    return NetworkOpinion(
      distances: try each { try networks.distances($0, $1, side: $2, on: device) },
      similarities: try each { try networks.similarities($0, $1, side: $2, on: device) },
      visibleDistances: try photo.faces.flatMap { face in
        try networks.distances(
          [photo.image.cropped(to: face).planes()], [image.cropped(to: face).planes()], side: Int(face.width),
          on: device)
      })
  }

  // MARK: Pictures

  /// Adds a row a face to a sheet, as far as there is room: original, protected, difference x10, edit of the original, edit of the
  /// protected, detections of the first detector on both.
  /// - Parameter rows: as many at most.
  package func add(_ judgement: Judgement, to sheet: inout PictureSheet, rows: Int) throws {
    let (photo, clean, seen, cell) = (judgement.photo, judgement.clean, judgement.seen, sheet.cell)
    for (face, square) in photo.faces.enumerated() where sheet.rowCount < rows {
      func cut(_ image: Image) throws -> Image {
        try squareImage(image.cropped(to: square), size: cell, device: device)
      }
      let (before, after) = (try cut(photo.image), try cut(judgement.protected))
      let difference = zip(before.planes(), after.planes()).map { ($1 - $0) * 10 }
      var row: [Image?] = [before, after, Image(planes: difference, width: cell, height: cell)]
      if let (_, generator) = generators.first {
        let strongest = strongestEdit(of: 0, face: face, in: clean)
        for edit in [clean.edits[0][strongest], seen.edits[0][strongest]] {
          let planes = try Tensor(
            edit.output, shape: [1, 3, generator.imageSize, generator.imageSize], device: device)
          row.append(try Image.images(from: planes.resized(height: cell, width: cell))[0])
        }
      }
      if !detectors.isEmpty {
        let scale = Float(cell) / square.width
        for (image, found) in [(before, clean.detections[0]), (after, seen.detections[0])] {
          row.append(
            image.drawing(found.map { $0.box.shifted(x: -square.x0, y: -square.y0).scaled(x: scale, y: scale) }))
        }
      }
      sheet.addRow(row)
    }
  }

  /// The edit of a face that shows most, the one that moves the picture furthest: its number in a look's edits.
  func strongestEdit(of generator: Int, face: Int, in look: Look) -> Int {
    let count = generators[generator].generator.edits.count
    func change(_ edit: Int) -> Float {
      let edit = look.edits[generator][edit]
      return zip(edit.output, edit.input).reduce(0) { $0 + abs($1.0 - $1.1) }
    }
    return (face * count..<(face + 1) * count).max { change($0) < change($1) }!
  }
}

@available(*, unavailable)
extension Evaluator: Sendable {}

@available(*, unavailable)
extension Evaluator.Judgement: Sendable {}
