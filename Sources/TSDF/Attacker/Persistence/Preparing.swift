import Foundation
import Kernels
import Networks
import Pictures

/// What an attacker has of the photos to train on.
struct PreparedCrops {
  var images: [Image]
  /// Of each, all that the data are labelled with.
  var labels: [[Float]]
  var summary: PersistenceResult.Preparation
}

extension PersistenceExperiment {
  /// What the attacker's detectors leave of the collected photos; the truth is what they find in the photos before they were protected.
  /// The photos are aligned faces already, as those are that he uses the generator on: one whose face is found stays as it is. (Cut
  /// out and resized anew, faces no longer lay as those that the generator is then used on, and retraining on them taught it
  /// nothing about the perturbation.) Whatever else is found is cut out: junk.
  func prepared(_ photos: [Image], _ arm: PersistenceArm) throws -> PreparedCrops {
    guard !arm.attacker.detectors.isEmpty else {
      return PreparedCrops(
        images: photos, labels: collectedLabels,
        summary: .init(photos: photos.count, kept: photos.count, lost: 0, crops: photos.count, junk: 0))
    }
    var settings = PreparationSettings()
    (settings.detectors, settings.size) = (arm.attacker.detectors, recipe.size)
    let ensemble = try DetectorEnsemble(
      arm.attacker.detectors.map { ($0, try models.finder($0, device)) },
      after: try purification(arm.attacker.detectThrough), on: device)
    var crops = PreparedCrops(
      images: [], labels: [], summary: .init(photos: photos.count, kept: 0, lost: 0, crops: 0, junk: 0))
    var overlaps: [Double] = []
    for ((photo, original), labels) in zip(zip(photos, try collectedPhotos()), collectedLabels) {
      try checkStop()
      let truth = try ensemble.faces(in: original, settings, isCollected: false).map(\.detection.box)
      var isKept = false
      for face in try ensemble.faces(in: ensemble.purified(photo), settings) {
        let overlap = truth.map { $0.iou(face.detection.box) }.max() ?? 0
        overlaps.append(Double(overlap))
        if overlap >= 0.5 {
          isKept = true
        } else {
          let crop = photo.warped(by: FaceAlignment.transform(for: face.detection, settings), size: settings.size)
          crops.images.append(crop)
          crops.labels.append(labels)
          crops.summary.junk += 1
        }
      }
      if isKept {
        crops.images.append(photo)
        crops.labels.append(labels)
        crops.summary.kept += 1
      } else {
        crops.summary.lost += 1
      }
    }
    crops.summary.crops = crops.images.count
    if !overlaps.isEmpty { crops.summary.meanIoU = overlaps.reduce(0, +) / Double(overlaps.count) }
    return crops
  }
}
