import Networks
import Pictures

/// What is added up over photos under one variant, as they are or after one attack. Photos are added one by one in their order, so
/// that sums are the same to the bit however the photos were shared out.
struct EvaluationTally: Codable {
  /// A mean that is added up; nothing of it where nothing was measured.
  struct Mean: Codable {
    private var sum = 0.0, count = 0

    var value: Double? { count > 0 ? sum / Double(count) : nil }

    mutating func add(_ values: [Double]) {
      for value in values { add(Mean(sum: value, count: 1)) }
    }
    mutating func add(_ other: Mean) { (sum, count) = (sum + other.sum, count + other.count) }

    init() {}
    private init(sum: Double, count: Int) { (self.sum, self.count) = (sum, count) }
  }

  /// Of one generator.
  struct OfGenerator: Codable {
    var interruption = InterruptionMetrics()
    var lpips = Mean(), identity = Mean()
    /// Inception's, of each edit; empty without it.
    var features: [[Float]] = []
  }

  private(set) var photos = 0, faces = 0
  /// Of faces that changed.
  private var psnr = Mean()
  private var ssim = Mean(), lpips = Mean()
  private(set) var generators: [OfGenerator]
  private var detectors: [DetectionMetrics]
  /// Of all detectors together; boxes of different detectors for one face overlap less than those of one.
  private var anyDetector = DetectionMetrics(overlap: 0.5)

  init(generators: Int, detectors: Int) {
    self.generators = .init(repeating: OfGenerator(), count: generators)
    self.detectors = .init(repeating: DetectionMetrics(), count: detectors)
  }

  /// What one photo gives.
  /// - Parameters:
  ///   - image: what was made of the photo.
  ///   - look: what generators and detectors make of that.
  ///   - sides: of the generators' pictures.
  init(
    of image: Image, _ look: Evaluator.Look, _ photo: JudgedPhoto, _ clean: Evaluator.Look, sides: [Int],
    networks: Evaluator.NetworkOpinion
  ) {
    self.init(generators: sides.count, detectors: look.detections.count)
    (photos, faces) = (1, photo.faces.count)
    for face in photo.faces {
      let (after, before) = (image.cropped(to: face).planes(), photo.image.cropped(to: face).planes())
      psnr.add([Pictures.psnr(after, before)].filter(\.isFinite))
      ssim.add([Pictures.ssim(after, before, height: Int(face.height), width: Int(face.width), range: 1)])
    }
    lpips.add(networks.visibleDistances)
    for (i, side) in sides.enumerated() {
      generators[i].features = look.features[i]
      generators[i].lpips.add(networks.distances[i])
      generators[i].identity.add(networks.similarities[i])
      for (edit, broken) in zip(clean.edits[i], look.edits[i]) {
        generators[i].interruption.add(
          original: edit.input, edit: edit.output, protectedEdit: broken.output, height: side, width: side)
      }
    }
    for i in detectors.indices { detectors[i].add(clean: clean.detections[i], protected: look.detections[i]) }
    func any(_ found: [[Detection]]) -> [Detection] { combined(found.map { ("", $0) }, votes: 1).map(\.detection) }
    anyDetector.add(clean: any(clean.detections), protected: any(look.detections))
  }

  /// Whether it speaks of so many models.
  func isOf(generators: Int, detectors: Int) -> Bool {
    self.generators.count == generators && self.detectors.count == detectors
  }

  /// Adds what other photos gave under the same variant with the same models.
  mutating func add(_ other: EvaluationTally) {
    (photos, faces) = (photos + other.photos, faces + other.faces)
    psnr.add(other.psnr)
    ssim.add(other.ssim)
    lpips.add(other.lpips)
    for (i, generator) in other.generators.enumerated() {
      generators[i].interruption.add(generator.interruption)
      generators[i].lpips.add(generator.lpips)
      generators[i].identity.add(generator.identity)
      generators[i].features += generator.features
    }
    for (i, detector) in other.detectors.enumerated() { detectors[i].add(detector) }
    anyDetector.add(other.anyDetector)
  }

  /// - Parameter cleanFeatures: Inception's, of each generator's edits of the originals.
  func report(
    _ variant: EvaluationPlan.Variant, attack: String?, _ models: EvaluationPlan, cleanFeatures: [[[Float]]]
  ) -> VariantReport {
    VariantReport(
      variant: variant.name, attack: attack, photos: photos, faces: faces, refineSteps: variant.refineSteps,
      watermarkPSNR: psnr.value ?? .infinity, watermarkSSIM: ssim.value ?? 0, watermarkLPIPS: lpips.value,
      transfer: variant.targets.flatMap { targets in
        var mean = Mean()
        for (model, generator) in zip(models.generators, generators) where !targets.contains(model.model) {
          mean.add([generator.interruption.successRate])
        }
        return mean.value
      },
      generators: generators.enumerated().map { index, generator in
        let metrics = generator.interruption
        return .init(
          name: models.generators[index].name, edits: metrics.count, emptyMasks: metrics.emptyMasks,
          l2Mask: metrics.l2Mask, successRate: metrics.successRate, ssim: metrics.ssimMean, psnr: metrics.psnrMean,
          fid: models.measuresFID ? frechetDistance(cleanFeatures[index], generator.features) : nil,
          lpips: generator.lpips.value, identity: generator.identity.value)
      },
      detectors: zip(
        models.detectors + (models.detectors.count > 1 ? [VariantReport.anyDetector] : []), detectors + [anyDetector]
      ).map { name, metrics in
        .init(
          name: name, images: metrics.count, withoutFace: metrics.withoutFace, precision: metrics.precision,
          recall: metrics.recall, f1: metrics.f1, duq: metrics.duq, confidenceChange: metrics.confidenceChange,
          boxCountChange: metrics.boxCountChange)
      })
  }
}
