import Foundation
import Kernels
import Pictures

/// The protection of one picture while it is in work, without what belongs to a device: several can be in work side by side.
struct Protection: Sendable {
  let image: Image
  /// The picture with what is added to it so far.
  var work: Patchwork
  var regions: [Region] = []
  var faceCount = 0
  /// How often faces were refined.
  var rounds = 0
  /// The regions whose faces are still found; nil while that is not known.
  var still: [Int]?
  /// What a whole picture without refinement moves by, where that is known from another of its size.
  var moves: [Int16]?

  init(_ image: Image, budget: Float) {
    self.image = image
    work = Patchwork(image, budget: budget)
  }

  /// Protects a picture in turns: a device's, and those of what reads, encodes and writes.
  /// - Parameters:
  ///   - turn: the next turn of a protector; it is given the picture as it is saved, and says whether it wants another one with what it
  ///     changed.
  static func carriedOut(
    on image: Image, budget: Float, encoding: PictureEncoding?,
    turn: (inout Protection, Image?) throws -> Bool
  ) throws -> ProtectionResult {
    var protection = Protection(image, budget: budget)
    let isSought = try turn(&protection, nil)
    while true {
      let (made, psnr) = protection.made
      let encoded = try encoding?.encode(made)
      if isSought, try turn(&protection, encoded.map { try encoding!.decode($0) } ?? made) { continue }
      return ProtectionResult(
        image: made, encoded: encoded, regions: protection.regions.map(\.box), faceCount: protection.faceCount,
        stillFound: protection.still.map { $0.compactMap { protection.regions[$0].face } }, psnr: psnr,
        ssim: sampledSSIM(made, image))
    }
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
