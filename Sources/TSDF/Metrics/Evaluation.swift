import Foundation
import Kernels

/// A way of protecting that is judged.
public struct ProtectionVariant {
  /// How it is called in reports.
  public let name: String
  /// Planes [3, size, size] to add; nil leaves pictures as they are.
  public let perturbation: Tensor?
  public let epsilon: Float
  /// How it is adapted to each face.
  public let adaptation: Adaptation

  public enum Adaptation {
    case none
    /// Steps of refinement.
    case refined(steps: Int)
    /// Instead of the universal perturbation, sign steps against the generators.
    case pgd(ImagePGD, steps: Int)

    var steps: Int {
      switch self {
      case .none: return 0
      case .refined(let steps), .pgd(_, let steps): return steps
      }
    }
  }

  public init(name: String, perturbation: Tensor?, epsilon: Float, adaptation: Adaptation = .none) {
    (self.name, self.perturbation, self.epsilon, self.adaptation) = (name, perturbation, epsilon, adaptation)
  }
}

/// What a variant does, over all faces judged.
public struct VariantReport: Encodable {
  public var variant: String
  /// JPEG quality that the protected faces went through, if any.
  public var jpegQuality: Int?
  public var faces: Int
  public var refineSteps: Int
  /// Between original and protected face.
  public var watermarkPSNR: Double, watermarkSSIM: Double
  public var generators: [GeneratorReport]
  public var detectors: [DetectorReport]

  public struct GeneratorReport: Encodable {
    public var name: String
    /// Edits judged, and edits that changed nothing and so were left out.
    public var edits: Int, emptyMasks: Int
    public var l2Mask: Double, successRate: Double
    public var ssim: Double, psnr: Double
    /// Frechet inception distance between the edits of the originals and of the protected; nil without Inception's
    /// weights.
    public var fid: Double?
  }

  public struct DetectorReport: Encodable {
    public var name: String
    /// Images judged, and those in which the detector finds no face even unprotected.
    public var images: Int, withoutFace: Int
    public var precision: Double, recall: Double, f1: Double, duq: Double
    public var confidenceChange: Double, boxCountChange: Double
  }
}

/// Judges protections on faces that nothing was crafted or trained on (method section 5). Every picture is rounded to 8
/// bits before it is judged, as a saved file is.
public final class Evaluator {
  private let generators: [(name: String, generator: any Generator)]
  private let detectors: [(name: String, detector: any FaceDetector)]
  private let refiner: Refiner
  private let inception: InceptionV3?
  private let device: any Device
  private let seed: UInt64

  public init(
    generators: [(name: String, generator: any Generator)], detectors: [(name: String, detector: any FaceDetector)],
    refiner: Refiner, inception: InceptionV3? = nil, seed: UInt64, device: any Device
  ) {
    self.inception = inception
    (self.generators, self.detectors, self.seed, self.device) = (generators, detectors, seed, device)
    self.refiner = refiner
  }

  /// What the unprotected faces give, computed once.
  public struct Baseline {
    fileprivate let faces: FaceSet
    fileprivate var images: [Image] = []
    /// For each generator, for each face, its edits' planes, one an attribute.
    fileprivate var edits: [[[[Float]]]]
    /// For each generator, the features of all edits; empty without Inception.
    fileprivate var features: [[[Float]]]
    /// For each detector, for each face.
    fileprivate var detections: [[[Detection]]]
  }

  /// - Parameter progress: called with a phase and faces done.
  public func baseline(_ faces: FaceSet, progress: (String, Int) -> Void) throws -> Baseline {
    var result = Baseline(
      faces: faces, edits: generators.map { _ in [] }, features: generators.map { _ in [] },
      detections: detectors.map { _ in [] })
    for index in 0..<faces.count {
      let image = try Image.images(from: faces.batch([index], on: device))[0]
      result.images.append(image)
      let (edits, detections) = try look(at: image, face: index, of: faces)
      for i in generators.indices {
        result.edits[i].append(edits[i])
        result.features[i] += try features(edits[i], generators[i].generator)
      }
      for i in detectors.indices { result.detections[i].append(detections[i]) }
      progress("clean", index + 1)
    }
    return result
  }

  /// Protects every face once and judges it as it is and, for each quality, after JPEG: one report each, the plain one
  /// first, and the protected faces.
  public func evaluate(
    _ variant: ProtectionVariant, _ baseline: Baseline, jpegQualities: [Int], progress: (String, Int) -> Void
  ) throws -> (reports: [VariantReport], protected: [Image]) {
    let stages: [Int?] = [nil] + jpegQualities
    var interruption = stages.map { _ in generators.map { _ in InterruptionMetrics() } }
    var detection = stages.map { _ in detectors.map { _ in DetectionMetrics() } }
    var seenFeatures = stages.map { _ in generators.map { _ in [[Float]]() } }
    var visibility = stages.map { _ in [(psnr: Double, ssim: Double)]() }
    var protected: [Image] = []
    for (index, image) in baseline.images.enumerated() {
      let saved = try protect(image, variant, face: index, of: baseline.faces)
      protected.append(saved)
      for (stage, quality) in stages.enumerated() {
        let seen = try quality.map { try jpegRoundTrip(saved, quality: $0) } ?? saved
        let (before, after) = (image.planes(), seen.planes())
        visibility[stage].append(
          (psnr(after, before), ssim(after, before, height: image.height, width: image.width, range: 1)))
        let (edits, detections) = try look(at: seen, face: index, of: baseline.faces)
        for i in generators.indices {
          let embedded = EmbeddedGenerator(generators[i].generator)
          let side = generators[i].generator.imageSize
          seenFeatures[stage][i] += try features(edits[i], generators[i].generator)
          let input = try embedded.input(image.tensor(on: device)).values()
          for (clean, broken) in zip(baseline.edits[i][index], edits[i]) {
            interruption[stage][i].add(original: input, edit: clean, protectedEdit: broken, height: side, width: side)
          }
        }
        for i in detectors.indices {
          detection[stage][i].add(clean: baseline.detections[i][index], protected: detections[i])
        }
      }
      progress(variant.name, index + 1)
    }
    let reports = stages.indices.map { stage in
      let distances = generators.indices.map { i in
        inception.map { _ in frechetDistance(baseline.features[i], seenFeatures[stage][i]) }
      }
      return report(
        variant, stages[stage], visibility[stage], interruption[stage], distances, detection[stage])
    }
    return (reports, protected)
  }

  private func protect(_ image: Image, _ variant: ProtectionVariant, face: Int, of faces: FaceSet) throws -> Image {
    guard let perturbation = variant.perturbation else { return image }
    var delta = try perturbation.resized(
      height: image.height, width: image.width, mode: image.height < perturbation.shape[2] ? .area : .bilinear)
    let labels = { faces.labels(of: face, named: $0) }
    switch variant.adaptation {
    case .none: break
    case .refined(let steps):
      delta = try refiner.refine(
        image.tensor(on: device), start: delta, steps: steps, epsilon: variant.epsilon, labels: labels,
        seed: seed &+ UInt64(face))
    case .pgd(let method, _):
      delta = try method.perturbation(of: image.tensor(on: device), labels: labels, seed: seed &+ UInt64(face))
    }
    return image.adding(try delta.values(), budget: variant.epsilon)
  }

  /// Every generator's edits (at its own size) and every detector's faces.
  private func look(at image: Image, face: Int, of faces: FaceSet) throws -> (
    edits: [[[Float]]], detections: [[Detection]]
  ) {
    let tensor = try image.tensor(on: device)
    let edits = try generators.map { _, generator -> [[Float]] in
      let embedded = EmbeddedGenerator(generator)
      let count = generator.edits.count
      // The same styles for the original and the protected picture.
      var random = RandomStream(seed: seed)
      let labels = faces.labels(of: face, named: generator.attributes)
      let condition = try generator.condition(
        Array(0..<count), labels: [[Float]](repeating: labels, count: count), random: &random, device: device)
      let repeated = try embedded.input(tensor).broadcast(to: [count, 3, generator.imageSize, generator.imageSize])
      let values = try Autograd.withoutRecording {
        try generator(repeated, condition: condition).image.values()
      }
      let size = values.count / count
      return (0..<count).map { Array(values[$0 * size..<($0 + 1) * size]) }
    }
    return (edits, try detectors.map { try $0.detector.detect(tensor, threshold: 0.7) })
  }

  /// Inception's features of a face's edits, given as planes.
  private func features(_ edits: [[Float]], _ generator: any Generator) throws -> [[Float]] {
    guard let inception else { return [] }
    let side = generator.imageSize
    let images = try Tensor(edits.flatMap { $0 }, shape: [edits.count, 3, side, side], device: device)
    let values = try Autograd.withoutRecording { try inception(images.clamped(to: -1...1)).values() }
    let count = InceptionV3.featureCount
    return (0..<edits.count).map { Array(values[$0 * count..<($0 + 1) * count]) }
  }

  private func report(
    _ variant: ProtectionVariant, _ quality: Int?, _ visibility: [(psnr: Double, ssim: Double)],
    _ interruption: [InterruptionMetrics], _ distances: [Double?], _ detection: [DetectionMetrics]
  ) -> VariantReport {
    let finite = visibility.map(\.psnr).filter(\.isFinite)
    return VariantReport(
      variant: variant.name, jpegQuality: quality, faces: visibility.count, refineSteps: variant.adaptation.steps,
      watermarkPSNR: finite.isEmpty ? .infinity : finite.reduce(0, +) / Double(finite.count),
      watermarkSSIM: visibility.map(\.ssim).reduce(0, +) / Double(max(1, visibility.count)),
      generators: generators.indices.map { i in
        let metrics = interruption[i]
        return .init(
          name: generators[i].name, edits: metrics.count, emptyMasks: metrics.emptyMasks, l2Mask: metrics.l2Mask,
          successRate: metrics.successRate, ssim: metrics.ssimMean, psnr: metrics.psnrMean, fid: distances[i])
      },
      detectors: zip(detectors, detection).map { detector, metrics in
        .init(
          name: detector.name, images: metrics.count, withoutFace: metrics.withoutFace, precision: metrics.precision,
          recall: metrics.recall, f1: metrics.f1, duq: metrics.duq, confidenceChange: metrics.confidenceChange,
          boxCountChange: metrics.boxCountChange)
      })
  }

  // MARK: Pictures

  /// A row a face: original, protected, difference x10, edit of the original, edit of the protected, detections of the
  /// first detector on both.
  public func sheet(_ baseline: Baseline, protected: [Image], rows: Int) throws -> Image {
    let cell = baseline.images[0].width
    var sheet = PictureSheet(cell: cell)
    for index in 0..<min(rows, protected.count) {
      let (original, changed) = (baseline.images[index], protected[index])
      let difference = zip(original.planes(), changed.planes()).map { ($1 - $0) * 10 }
      var row: [Image?] = [original, changed, Image(planes: difference, width: cell, height: cell)]
      if let (_, generator) = generators.first {
        // The edit that shows most: the one that moves the picture furthest.
        let edits = baseline.edits[0][index]
        let input = try EmbeddedGenerator(generator).input(original.tensor(on: device)).values()
        let strongest = edits.indices.max { distance(edits[$0], input) < distance(edits[$1], input) }!
        let broken = try look(at: changed, face: index, of: baseline.faces).edits[0][strongest]
        for planes in [edits[strongest], broken] {
          let edit = try Tensor(planes, shape: [1, 3, generator.imageSize, generator.imageSize], device: device)
          row.append(try Image.images(from: edit.resized(height: cell, width: cell))[0])
        }
      }
      if let (_, detector) = detectors.first {
        for image in [original, changed] {
          let faces = try detector.detect(image.tensor(on: device), threshold: 0.7)
          row.append(image.drawing(faces.map(\.box)))
        }
      }
      sheet.addRow(row)
    }
    return sheet.image()
  }

  private func distance(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + abs($1.0 - $1.1) } }
}
