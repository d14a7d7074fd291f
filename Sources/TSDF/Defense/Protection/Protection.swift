import Foundation
import Kernels
import Pictures

/// The protection of one picture while it is in work, without what belongs to a device: several can be in work side by side. A protector
/// begins it, proceeds with it while it is in a round, and judges it as it is saved, which may begin another round.
struct Protection: Sendable {
  let image: Image
  /// The picture with what is added to it so far.
  var work: Patchwork
  var regions: [Region] = []
  var faceCount = 0
  /// How many rounds are over.
  var rounds = 0
  var round = Round(regions: [])
  /// The number under which a protector holds the refinement of the next of them.
  var refinement: Int?
  /// Whether faces that are still found are to be looked for in the picture as it is saved.
  var isJudged = false
  /// The faces that are still found; nil while that is not known.
  var stillFound: [Box]?
  /// What a whole picture without refinement moves by, where that is known from another of its size.
  var moves: [Int16]?

  init(_ image: Image, budget: Float) {
    self.image = image
    work = Patchwork(image, budget: budget)
  }

  /// Regions that are refined one after the other.
  struct Round: Sendable {
    let regions: [Int]
    /// Of each picture and round its own.
    var seed: UInt64 = 0
    /// What saving does to pictures, where that is looked through.
    var view: PurificationRecipe?
    /// How many of the regions are done.
    var done = 0
  }

  /// Whether regions are left to be refined in this round.
  var isInRound: Bool { round.done < round.regions.count }

  mutating func endRegion() {
    round.done += 1
    if !isInRound { rounds += 1 }
  }

  /// Saves the picture as it is so far and, where faces are to be looked for, has it judged as others read it.
  /// - Parameter judge: may begin another round.
  /// - Returns: nil where there is another round.
  mutating func concluded(
    as encoding: PictureEncoding?, judge: (inout Protection, Image) throws -> Void
  ) throws -> ProtectionResult? {
    let (image, psnr) = made
    let encoded = try encoding?.encode(image)
    if isJudged { try judge(&self, encoded.map { try encoding!.decode($0) } ?? image) }
    guard !isInRound else { return nil }
    return ProtectionResult(
      image: image, encoded: encoded, regions: regions.map(\.changed), faceCount: faceCount,
      stillFound: stillFound, psnr: psnr, ssim: sampledSSIM(image, self.image))
  }

  /// The picture as it is protected so far, and how much that changed it.
  private var made: (image: Image, psnr: Double) {
    if let moves { return image.moved(by: moves) }
    let sum = work.sum
    return (sum, sum.psnr(of: image))
  }
}

extension Image {
  /// The peak signal-to-noise ratio of this picture as a copy of another of its format; infinite where they are the same.
  fileprivate func psnr(of original: Image) -> Double {
    func squares<Sample: FixedWidthInteger>(_: Sample.Type) -> Double {
      bytes.withUnsafeBytes { a in
        original.bytes.withUnsafeBytes { b in
          let (a, b) = (a.bindMemory(to: Sample.self), b.bindMemory(to: Sample.self))
          var sum = 0
          for i in a.indices {
            let difference = Int(a[i]) &- Int(b[i])
            sum &+= difference &* difference
          }
          return Double(sum)
        }
      }
    }
    let sum = bitDepth == 8 ? squares(UInt8.self) : squares(UInt16.self)
    // Alpha does not move.
    let mean = sum / Double(width * height * colorChannels)
    return mean == 0 ? .infinity : 10 * log10(Double(peak) * Double(peak) / mean)
  }
}
