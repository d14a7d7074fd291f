import Kernels
import Networks
import Pictures
import SystemPackage

/// A face of a photo and its crop.
package struct PreparedCrop: Codable, Sendable {
  /// The crop, relative to the output folder.
  package var file: String
  /// The SHA-256 of its file.
  package var digest: String
  package var face: FoundFace
  package var quality: CropQuality
  /// The IoU of its box with the best box of the truth, 0 where that has none; nil without truth.
  package var iou: Float?

  package init(file: String, digest: String, face: FoundFace, quality: CropQuality, iou: Float?) {
    (self.file, self.digest, self.face, self.quality, self.iou) = (file, digest, face, quality, iou)
  }

  /// Whether the truth knows no such face.
  package var isJunk: Bool { iou.map { $0 < 0.5 } ?? false }
}

/// What the journal says of a photo whose faces have been cut out.
package struct PreparedPhoto: SourcedEntry {
  /// The photo, by its path below its folder.
  package var photo: String
  package var source: String, settings: String
  /// Pixels of the photo, upright.
  package var width: Int, height: Int
  /// The boxes of the faces that really are in it; nil without truth.
  package var truth: [Box]?
  /// Best score first.
  package var crops: [PreparedCrop]

  package static var journalName: String { PartialFile.ownPrefix + "prepare.jsonl" }
  package static var keyField: String { "photo" }
  package var key: FilePath { FilePath(photo) }

  package init(
    photo: String, source: String, settings: String, width: Int, height: Int, truth: [Box]?, crops: [PreparedCrop]
  ) {
    (self.photo, self.source, self.settings, self.width, self.height) = (photo, source, settings, width, height)
    (self.truth, self.crops) = (truth, crops)
  }

  /// What the detectors left of a photo; whether its crops are dropped later does not matter.
  package enum Status: String, Codable, Sendable {
    /// A face of the truth was found; without truth, any.
    case kept
    /// No face of the truth was found; without truth, none at all.
    case lost
    /// The truth has no face in it, and yet some were found.
    case junk
    /// The truth has no face in it, and none was found.
    case faceless
    /// It could not be read, or its crops not be written.
    case failed
  }

  package var status: Status {
    guard let truth else { return crops.isEmpty ? .lost : .kept }
    if truth.isEmpty { return crops.isEmpty ? .faceless : .junk }
    return crops.contains { !$0.isJunk } ? .kept : .lost
  }
}

/// Which crops do not stay.
package struct CropSelection: Sendable {
  /// Why a crop does not stay.
  package enum Reason: String, Codable, Sendable { case blurred, duplicate }

  /// Bits in which the difference hashes of two crops of one picture differ at most.
  package static let duplicateDistance = 4

  private let dropsDuplicates: Bool
  private let sharpness: Double

  /// - Parameters:
  ///   - duplicates: drop crops that look like an earlier one.
  ///   - sharpness: drop crops below it; 0 for none.
  package init(droppingDuplicates duplicates: Bool, below sharpness: Double) {
    (dropsDuplicates, self.sharpness) = (duplicates, sharpness)
  }

  /// Why each crop of each photo does not stay, in their order; nil for those that do.
  package func reasons(_ photos: [PreparedPhoto?]) -> [[Reason?]] {
    var kept: [CropQuality] = []
    return photos.map { photo in
      (photo?.crops ?? []).map { crop in
        if crop.quality.sharpness < sharpness { return .blurred }
        guard dropsDuplicates else { return nil }
        if kept.contains(where: { $0.distance(to: crop.quality) <= Self.duplicateDistance }) { return .duplicate }
        kept.append(crop.quality)
        return nil
      }
    }
  }
}
