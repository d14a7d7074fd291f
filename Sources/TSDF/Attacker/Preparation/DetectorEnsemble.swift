import Kernels
import Networks
import Pictures

/// How the faces that several detectors find in a photo are combined.
package enum DetectionCombination: String, Codable, CaseIterable, Sendable {
  /// Those of the first detector that finds any.
  case first
  /// Those that any detector finds.
  case union
  /// Those that enough detectors find.
  case vote
}

/// A face in a photo and the names of the detectors that found it.
package struct FoundFace: Codable, Equatable, Sendable {
  /// The best score's; landmarks are the best score's that has any.
  package var detection: Detection
  package var detectors: [String]

  package init(detection: Detection, detectors: [String]) { (self.detection, self.detectors) = (detection, detectors) }
}

/// The faces that at least `votes` of several detectors find, best score first. Boxes are of one face where they
/// overlap its best box with an IoU of at least 0.5.
/// - Parameter found: each detector's name and what it found.
package func combined(_ found: [(name: String, detections: [Detection])], votes: Int) -> [FoundFace] {
  // Of equal scores the earlier detector's goes first.
  let ordered = found.indices.flatMap { detector in found[detector].detections.map { (detector, $0) } }
    .enumerated().sorted { ($1.element.1.score, $0.offset) < ($0.element.1.score, $1.offset) }.map(\.element)
  var faces: [(best: Detection, detectors: Set<Int>)] = []
  for (detector, detection) in ordered {
    // The face that it overlaps most.
    let overlaps = faces.map { $0.best.box.iou(detection.box) }
    if let face = overlaps.indices.max(by: { overlaps[$0] < overlaps[$1] }), overlaps[face] >= 0.5 {
      faces[face].detectors.insert(detector)
      if faces[face].best.landmarks.isEmpty { faces[face].best.landmarks = detection.landmarks }
    } else {
      faces.append((detection, [detector]))
    }
  }
  return faces.filter { $0.detectors.count >= votes }.map { face in
    FoundFace(detection: face.best, detectors: face.detectors.sorted().map { found[$0].name })
  }
}

/// The detectors with which faces are collected. It belongs to one thread at a time, with its device.
package final class DetectorEnsemble {
  private let detectors: [(name: String, detector: any FaceFinder)]
  private let attack: Purification?
  let device: any Device

  /// - Parameter attack: what photos are put through first.
  package init(
    _ detectors: [(name: String, detector: any FaceFinder)], after attack: Purification? = nil, on device: any Device
  ) throws {
    guard !detectors.isEmpty else { throw KernelsError.usage("finding faces needs a detector") }
    (self.detectors, self.attack, self.device) = (detectors, attack, device)
  }

  /// A photo after what it is put through as it is stored.
  func purified(_ photo: Image) throws -> Image {
    var random = RandomStream(seed: 1)
    return try attack?(photo, random: &random, on: device) ?? photo
  }

  /// The faces in an upright photo, best score first.
  /// - Parameter isCollected: whether it is put through what photos are put through as the detectors get it.
  func faces(in photo: Image, _ settings: PreparationSettings, isCollected: Bool = true) throws -> [FoundFace] {
    var found: [(name: String, detections: [Detection])] = []
    for (name, detector) in detectors {
      let detections = try detector.detect(
        photo, threshold: settings.threshold, longestSide: settings.longestSide, on: device
      ) { seen in
        var random = RandomStream(seed: 1)
        return try isCollected ? attack?(seen, at: .network, random: &random) ?? seen : seen
      }
      found.append((name, detections))
      if settings.combination == .first, !detections.isEmpty { break }
    }
    return combined(found, votes: settings.combination == .vote ? settings.votes : 1)
  }
}

@available(*, unavailable)
extension DetectorEnsemble: Sendable {}
