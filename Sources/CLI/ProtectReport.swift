import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage
import TSDF

/// What `tsdf protect --report` writes: originals and copies as generators and detectors see them, on a page for people.
struct ProtectReport {
  /// What is told of.
  struct Photo: Sendable {
    /// For people.
    var name: String
    var original: WorkList.Item, copy: FilePath
  }

  private let evaluator: Evaluator
  private let finder: (any FaceFinder)?
  private let classifier: AttributeClassifier
  private let device: any Device
  private let purpose: ProtectionPage.Purpose

  /// - Parameters:
  ///   - finder: finds the faces that are shown; nil where pictures are faces.
  ///   - classifier: tells which edits of a face there are.
  init(
    generators: [(name: String, generator: any Generator)], detectors: [(name: String, detector: any FaceFinder)],
    finder: (any FaceFinder)?, classifier: AttributeClassifier, seed: UInt64, device: any Device
  ) {
    evaluator = Evaluator(generators: generators, detectors: detectors, seed: seed, device: device)
    (self.finder, self.classifier, self.device) = (finder, classifier, device)
    purpose = ProtectionPage.Purpose(generators: generators.map(\.name), detectors: detectors.map(\.name))
  }

  /// The page; a photo that cannot be read again is left out, with a note.
  func page(of photos: [Photo], progress: Progress) throws -> String {
    var page = ProtectionPage(purpose)
    for (index, photo) in photos.enumerated() {
      try StopSignal.exitIfPending()
      do {
        let original = try photo.original.picture()
        let copy = try ImageFile(contents(of: photo.copy), path: photo.copy.shown)
        let (before, after) = (
          original.image.upright(from: original.orientation), copy.image.upright(from: copy.orientation)
        )
        let judged = try judged(before, name: photo.name)
        let judgement = try evaluator.judge(judged, protected: after.eightBitRGB)
        try page.add(evaluator.account(of: judgement, cell: ProtectionPage.cell))
      } catch {
        progress.note("the report leaves \(photo.name) out (\(error))")
      }
      progress.update("report: \(index + 1)/\(photos.count) photos", isLast: index + 1 == photos.count)
    }
    return try page.html()
  }

  private func judged(_ image: Image, name: String) throws -> JudgedPhoto {
    var faces = try finder?.faceSquares(in: image, on: device) ?? []
    if faces.isEmpty {
      // All of it is protected; what generators are given is square.
      let side = min(image.width, image.height)
      let (x, y) = (Float((image.width - side) / 2), Float((image.height - side) / 2))
      faces = [Box(x0: x, y0: y, x1: x + Float(side), y1: y + Float(side))]
    }
    let first = try squareImage(image.cropped(to: faces[0]), size: classifier.imageSize, device: device)
    return JudgedPhoto(
      image.eightBitRGB, name: name, faces: faces, attributes: classifier.attributes,
      labels: try classifier.labels(of: first.tensor(on: device)))
  }
}
