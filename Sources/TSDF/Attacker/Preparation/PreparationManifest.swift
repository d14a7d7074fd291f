import Foundation
import Kernels
import Networks
import Pictures

/// What was made of each photo of a collection, in its order.
package struct PreparationManifest: Sendable {
  /// A photo by its path below its folder, and what was made of it; nil where that failed.
  package typealias Line = (photo: String, prepared: PreparedPhoto?)

  private let lines: [Line]
  private let reasons: [[CropSelection.Reason?]]

  /// - Parameter reasons: why each crop of each photo does not stay; nil for those that do.
  package init(_ lines: [Line], reasons: [[CropSelection.Reason?]]) { (self.lines, self.reasons) = (lines, reasons) }

  /// Each photo's crops, and why they do not stay.
  private var crops: some Sequence<(PreparedPhoto, [(crop: PreparedCrop, dropped: CropSelection.Reason?)])> {
    zip(lines, reasons).lazy.compactMap { line, reasons in line.prepared.map { ($0, Array(zip($0.crops, reasons))) } }
  }

  // MARK: Sums

  /// What is counted over a collection.
  package struct Summary: Encodable, Sendable {
    package var photos = 0, kept = 0, lost = 0, junk = 0, faceless = 0, failed = 0
    /// Crops that stay, and how many of them are no face of the truth.
    package var crops = 0, junkCrops = 0
    package var duplicates = 0, blurred = 0
    /// Over the crops that stay; nil without truth or crops.
    package var meanIoU: Double?
  }

  package var summary: Summary {
    var summary = Summary()
    for (_, prepared) in lines {
      summary.photos += 1
      switch prepared?.status ?? .failed {
      case .kept: summary.kept += 1
      case .lost: summary.lost += 1
      case .junk: summary.junk += 1
      case .faceless: summary.faceless += 1
      case .failed: summary.failed += 1
      }
    }
    var overlaps: [Double] = []
    for (crop, dropped) in crops.flatMap(\.1) {
      switch dropped {
      case .blurred: summary.blurred += 1
      case .duplicate: summary.duplicates += 1
      case nil:
        summary.crops += 1
        if crop.isJunk { summary.junkCrops += 1 }
        if let iou = crop.iou { overlaps.append(Double(iou)) }
      }
    }
    summary.meanIoU = overlaps.isEmpty ? nil : overlaps.reduce(0, +) / Double(overlaps.count)
    return summary
  }

  // MARK: Files

  /// JSON, a line a photo.
  package func jsonLines() throws -> String {
    try zip(lines, reasons).map { line, reasons in
      try canonicalJSON(PhotoLine(photo: line.photo, prepared: line.prepared, reasons: reasons)) + "\n"
    }.joined()
  }

  private struct PhotoLine: Encodable {
    let photo: String
    let prepared: PreparedPhoto?
    let reasons: [CropSelection.Reason?]

    enum Key: CodingKey { case photo, status, width, height, truth, crops }

    func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: Key.self)
      try values.encode(photo, forKey: .photo)
      try values.encode(prepared?.status ?? .failed, forKey: .status)
      // What there is not is null, not absent.
      try values.encode(prepared?.width, forKey: .width)
      try values.encode(prepared?.height, forKey: .height)
      try values.encode(prepared?.truth, forKey: .truth)
      let crops = zip(prepared?.crops ?? [], reasons).map { CropLine(crop: $0, dropped: $1) }
      try values.encode(crops, forKey: .crops)
    }
  }

  private struct CropLine: Encodable {
    let crop: PreparedCrop
    let dropped: CropSelection.Reason?

    enum Key: CodingKey { case file, status, detectors, score, box, landmarks, iou, sharpness, dropped }

    func encode(to encoder: any Encoder) throws {
      var values = encoder.container(keyedBy: Key.self)
      try values.encode(crop.file, forKey: .file)
      try values.encode(crop.isJunk ? "junk" : "kept", forKey: .status)
      try values.encode(crop.face.detectors, forKey: .detectors)
      try values.encode(crop.face.detection.score, forKey: .score)
      try values.encode(crop.face.detection.box, forKey: .box)
      try values.encode(crop.face.detection.landmarks, forKey: .landmarks)
      try values.encode(crop.iou, forKey: .iou)
      try values.encode(crop.quality.sharpness, forKey: .sharpness)
      try values.encode(dropped, forKey: .dropped)
    }
  }

  /// A table, comma-separated: a row a crop, and one for each photo without any. `photo_status` is the photo's,
  /// `status` the crop's.
  package func csv() -> String {
    var rows = ["photo,photo_status,file,status,detectors,score,x0,y0,x1,y1,iou,sharpness,dropped"]
    for (line, reasons) in zip(lines, reasons) {
      let photo = [Self.quoted(line.photo), (line.prepared?.status ?? .failed).rawValue]
      let crops = line.prepared?.crops ?? []
      if crops.isEmpty { rows.append((photo + [String](repeating: "", count: 11)).joined(separator: ",")) }
      for (crop, dropped) in zip(crops, reasons) {
        let box = crop.face.detection.box
        rows.append(
          (photo + [
            Self.quoted(crop.file), crop.isJunk ? "junk" : "kept", crop.face.detectors.joined(separator: "+"),
            "\(crop.face.detection.score)", "\(box.x0)", "\(box.y0)", "\(box.x1)", "\(box.y1)",
            crop.iou.map { "\($0)" } ?? "", "\(crop.quality.sharpness)", dropped?.rawValue ?? "",
          ]).joined(separator: ","))
      }
    }
    return rows.joined(separator: "\n") + "\n"
  }

  /// A field of a table as RFC 4180 has it.
  private static func quoted(_ text: String) -> String {
    guard text.contains(where: { ",\"\r\n".contains($0) || $0.isNewline }) else { return text }
    return "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\""
  }
}
