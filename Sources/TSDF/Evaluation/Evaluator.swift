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

  /// What the unprotected photos give, computed once.
  public struct Baseline: Sendable {
    let photos: [JudgedPhoto]
    let looks: [Look]
  }

  /// - Parameter progress: called with a phase and photos done; what it throws ends the work.
  public func baseline(_ photos: [JudgedPhoto], progress: (String, Int) throws -> Void) throws -> Baseline {
    let looks = try photos.enumerated().map { index, photo in
      let look = try look(View(photo, device: device))
      try progress("clean", index + 1)
      return look
    }
    return Baseline(photos: photos, looks: looks)
  }

  /// Protects every photo once and judges it as it is and after each attack: one report each, the plain one first, and the protected
  /// photos. An attacker who learns from other protected photos gets those that follow, from the first again after the last.
  public func evaluate(
    _ variant: ProtectionVariant, _ baseline: Baseline, attacks: [Purification], progress: (String, Int) throws -> Void
  ) throws -> (reports: [VariantReport], protected: [Image]) {
    var protected: [Image] = []
    while protected.count < baseline.photos.count {
      protected += try variant.protect(Array(baseline.photos.dropFirst(protected.count).prefix(variant.batch)))
      try progress(variant.name, protected.count)
    }
    let cleanFeatures = generators.indices.map { i in baseline.looks.flatMap { $0.features[i] } }
    let reports = try ([nil] + attacks).map { attack in
      var tally = Tally(attack: attack?.recipe.name, generators.count, detectors.count)
      for (index, (photo, clean)) in zip(baseline.photos, baseline.looks).enumerated() {
        let view = try View(of: index, in: protected, baseline.photos, attack, seed: seed, device: device)
        let seen = try look(view)
        tally.add(view.image, seen, photo, clean, generators.map(\.generator.imageSize))
        try compare(clean, seen, photo, view.image, in: &tally)
        if let attack { try progress("\(variant.name), \(attack.recipe.name)", index + 1) }
      }
      let distances = generators.indices.map { i in
        networks.inception.map { _ in frechetDistance(cleanFeatures[i], tally.features[i]) }
      }
      return tally.report(
        variant, distances, generators.map(\.name), models: generators.map { type(of: $0.generator).name },
        detectors.map(\.name))
    }
    return (reports, protected)
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

  /// What networks say of edits of a photo and of what was made of it, and of both.
  private func compare(_ clean: Look, _ seen: Look, _ photo: JudgedPhoto, _ image: Image, in tally: inout Tally) throws
  {
    for (index, generator) in generators.map(\.generator).enumerated() {
      let (before, after) = (clean.edits[index].map(\.output), seen.edits[index].map(\.output))
      tally.lpips[index] += try networks.distances(before, after, side: generator.imageSize, on: device)
      tally.similarities[index] += try networks.similarities(before, after, side: generator.imageSize, on: device)
    }
    for face in photo.faces {
      let side = Int(face.width)
      tally.visibleDistances += try networks.distances(
        [photo.image.cropped(to: face).planes()], [image.cropped(to: face).planes()], side: side, on: device)
    }
  }

  /// What is added up over the photos, as they are or after one attack.
  private struct Tally {
    let attack: String?
    var photos = 0
    var interruption: [InterruptionMetrics]
    var features: [[[Float]]]
    var detection: [DetectionMetrics]
    /// Of all detectors together; boxes of different detectors for one face overlap less than those of one.
    var anyDetection = DetectionMetrics(overlap: 0.5)
    var visibility: [(psnr: Double, ssim: Double)] = []
    /// Of each generator's edits; empty without the networks.
    var lpips: [[Double]], similarities: [[Double]]
    /// LPIPS between faces and what was made of them.
    var visibleDistances: [Double] = []

    init(attack: String?, _ generators: Int, _ detectors: Int) {
      self.attack = attack
      interruption = .init(repeating: InterruptionMetrics(), count: generators)
      features = .init(repeating: [], count: generators)
      lpips = .init(repeating: [], count: generators)
      similarities = .init(repeating: [], count: generators)
      detection = .init(repeating: DetectionMetrics(), count: detectors)
    }

    mutating func add(_ image: Image, _ look: Look, _ photo: JudgedPhoto, _ clean: Look, _ sides: [Int]) {
      photos += 1
      for face in photo.faces {
        let (after, before) = (image.cropped(to: face).planes(), photo.image.cropped(to: face).planes())
        visibility.append(
          (
            psnr(after, before),
            ssim(after, before, height: Int(face.height), width: Int(face.width), range: 1)
          ))
      }
      for (i, side) in sides.enumerated() {
        features[i] += look.features[i]
        for (edit, broken) in zip(clean.edits[i], look.edits[i]) {
          interruption[i].add(
            original: edit.input, edit: edit.output, protectedEdit: broken.output, height: side, width: side)
        }
      }
      for i in detection.indices { detection[i].add(clean: clean.detections[i], protected: look.detections[i]) }
      func any(_ found: [[Detection]]) -> [Detection] {
        combined(found.map { ("", $0) }, votes: 1).map(\.detection)
      }
      anyDetection.add(clean: any(clean.detections), protected: any(look.detections))
    }

    func report(
      _ variant: ProtectionVariant, _ distances: [Double?], _ generators: [String], models: [String],
      _ detectors: [String]
    )
      -> VariantReport
    {
      let finite = visibility.map(\.psnr).filter(\.isFinite)
      return VariantReport(
        variant: variant.name, attack: attack, photos: photos, faces: visibility.count,
        refineSteps: variant.refineSteps,
        watermarkPSNR: finite.isEmpty ? .infinity : finite.reduce(0, +) / Double(finite.count),
        watermarkSSIM: visibility.map(\.ssim).reduce(0, +) / Double(max(1, visibility.count)),
        watermarkLPIPS: mean(visibleDistances),
        transfer: variant.targets.flatMap { targets in
          mean(models.indices.filter { !targets.contains(models[$0]) }.map { interruption[$0].successRate })
        },
        generators: generators.indices.map { index in
          let metrics = interruption[index]
          return .init(
            name: generators[index], edits: metrics.count, emptyMasks: metrics.emptyMasks, l2Mask: metrics.l2Mask,
            successRate: metrics.successRate, ssim: metrics.ssimMean, psnr: metrics.psnrMean, fid: distances[index],
            lpips: mean(lpips[index]), identity: mean(similarities[index]))
        },
        detectors: zip(
          detectors + (detectors.count > 1 ? [VariantReport.anyDetector] : []), detection + [anyDetection]
        ).map { name, metrics in
          .init(
            name: name, images: metrics.count, withoutFace: metrics.withoutFace, precision: metrics.precision,
            recall: metrics.recall, f1: metrics.f1, duq: metrics.duq, confidenceChange: metrics.confidenceChange,
            boxCountChange: metrics.boxCountChange)
        })
    }
  }

  // MARK: Pictures

  /// A row a face: original, protected, difference x10, edit of the original, edit of the protected, detections of the
  /// first detector on both. Cells of `cell` pixels a side.
  public func sheet(_ baseline: Baseline, protected: [Image], rows: Int, cell: Int) throws -> Image {
    var sheet = PictureSheet(cell: cell)
    let faces = baseline.photos.indices.flatMap { photo in
      baseline.photos[photo].faces.indices.map { (photo, $0) }
    }
    for (index, face) in faces.prefix(rows) {
      let (photo, clean, changed) = (baseline.photos[index], baseline.looks[index], protected[index])
      let square = photo.faces[face]
      let look = try look(View(photo, image: changed, device: device))
      func cut(_ image: Image) throws -> Image {
        try squareImage(image.cropped(to: square), size: cell, device: device)
      }
      let (before, after) = (try cut(photo.image), try cut(changed))
      let difference = zip(before.planes(), after.planes()).map { ($1 - $0) * 10 }
      var row: [Image?] = [before, after, Image(planes: difference, width: cell, height: cell)]
      if let (_, generator) = generators.first {
        let strongest = strongestEdit(of: 0, face: face, in: clean)
        for edit in [clean.edits[0][strongest], look.edits[0][strongest]] {
          let planes = try Tensor(
            edit.output, shape: [1, 3, generator.imageSize, generator.imageSize], device: device)
          row.append(try Image.images(from: planes.resized(height: cell, width: cell))[0])
        }
      }
      if !detectors.isEmpty {
        let scale = Float(cell) / square.width
        for (image, found) in [(before, clean.detections[0]), (after, look.detections[0])] {
          row.append(
            image.drawing(found.map { $0.box.shifted(x: -square.x0, y: -square.y0).scaled(x: scale, y: scale) }))
        }
      }
      sheet.addRow(row)
    }
    return sheet.image()
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

/// The mean; nil of none.
private func mean(_ values: [Double]) -> Double? {
  values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
}
