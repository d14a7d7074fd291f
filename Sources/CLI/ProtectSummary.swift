import Foundation
import Pictures

extension ProtectRun {
  /// What was done.
  struct Summary: Encodable, Sendable {
    var files = 0, done = 0, skipped = 0, failures = 0
    var faces = 0, withoutFace = 0
    /// Faces that refinement was to hide, and that are still found in the protected pictures; nil where none was to be hidden.
    var stillFound: Int?
    /// Files whose copies are without what the files hold beside their pictures, and what that is.
    var withoutEmbedded = 0, embedded = LeftOut()
    /// On average; nil where there is nothing to tell of.
    var psnr: Double?, ssim: Double?
    var seconds = 0.0, imagesPerSecond = 0.0
    /// Files that are no pictures: copied as they are, or by kind left out.
    var copied = 0, leftOut: [String: Int] = [:]
    /// Copies among the inputs that earlier runs made.
    var ownCopies = 0

    /// Counts files that are left out.
    mutating func leaveOut(_ items: some Sequence<WorkList.Item>) {
      for item in items { leftOut[item.kind.name, default: 0] += 1 }
    }

    /// In plain words.
    var text: String {
      var lines = ["\(done) protected, \(skipped) done before, \(failures) failed"]
      if done + skipped > 0 {
        let still = stillFound.map { ", \($0) still found after refinement" } ?? ""
        lines.append(
          "\(faces) faces\(still); \(withoutFace) images without a face that was found, protected as a whole")
      }
      var quality: [String] = []
      if let psnr { quality.append("PSNR \(psnr.formatted(1)) dB") }
      if let ssim { quality.append("SSIM \(ssim.formatted(3))") }
      if !quality.isEmpty {
        let pace = done > 0 ? "; \(imagesPerSecond.formatted(2)) images a second" : ""
        lines.append(quality.joined(separator: ", ") + " on average" + pace)
      }
      if withoutEmbedded > 0 {
        lines.append("copies without what the originals hold besides their pictures: \(withoutEmbedded) (\(embedded))")
      }
      if copied > 0 { lines.append("copied as they are, for they are no pictures: \(copied)") }
      if !leftOut.isEmpty {
        let kinds = leftOut.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { "\($0.value) \($0.key)" }
        lines.append("left out, for they are no pictures: " + kinds.joined(separator: ", "))
      }
      if ownCopies > 0 { lines.append("left out, for tsdf made them: \(ownCopies)") }
      return lines.joined(separator: "\n")
    }
  }
}

extension Double {
  fileprivate func formatted(_ digits: Int) -> String { String(format: "%.\(digits)f", self) }
}
