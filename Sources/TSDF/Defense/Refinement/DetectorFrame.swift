import Kernels
import Networks
import Pictures

/// What a detector is shown of a photo while a part of it is refined: a piece of the photo at one of the sizes at which the
/// detector looks at the whole.
package struct DetectorFrame {
  /// How the change of the part, at the size at which it is refined, becomes that of the piece.
  enum Placement {
    /// As it is, on these pixels.
    case at(ImagePart)
    /// By what each of its rows and columns adds to each of the piece's, [piece, part]: to the last digit what the photo's resize makes
    /// of it. A shift of half a pixel already undid what was made.
    case resampled(rows: Tensor, columns: Tensor)
  }

  /// Without the change, [1, 3, H, W] in [-1, 1].
  let image: Tensor
  /// Where the part lies in it.
  let part: Box
  let placement: Placement

  /// An image of which a part changes.
  init(_ image: Tensor, part: ImagePart) {
    (self.image, self.part, placement) = (image, part.box, .at(part))
  }

  init(_ image: Tensor, part: Box, placement: Placement) {
    (self.image, self.part, self.placement) = (image, part, placement)
  }

  /// The piece with a change of the part, [1, 3, h, w].
  func changed(by change: Tensor) throws -> Tensor {
    let (height, width) = (image.shape[2], image.shape[3])
    let spread: Tensor
    switch placement {
    case .at(let part):
      spread = try change.padded(
        top: part.rows.lowerBound, bottom: height - part.rows.upperBound, left: part.columns.lowerBound,
        right: width - part.columns.upperBound)
    case .resampled(let rows, let columns):
      let wide = try change.reshaped([3 * change.shape[2], change.shape[3]]).matrixMultiplied(
        by: columns, transposingOther: true)
      spread = try wide.reshaped([3, change.shape[2], width]).permuted([0, 2, 1]).reshaped([3 * width, change.shape[2]])
        .matrixMultiplied(by: rows, transposingOther: true).reshaped([1, 3, width, height]).permuted([0, 1, 3, 2])
    }
    return try (image + spread).clamped(to: -1...1)
  }
}

@available(*, unavailable)
extension DetectorFrame: Sendable {}

/// What it takes to hide a part of a photo from a detector that is shown a piece of it.
struct DetectorHiding {
  /// The detector's among the refiner's.
  let number: Int
  let frame: DetectorFrame
  let targets: DetectorTargets

  /// The pieces in which the detector finds something in the part; the first where there is none. Each is a goal of its own: what
  /// hides a face at one size need not at another.
  static func all(
    _ number: Int, _ detector: any FaceDetector, _ frames: [DetectorFrame], on device: any Device
  ) throws -> [DetectorHiding] {
    let all = try frames.map { try DetectorHiding(number, detector, $0, on: device) }
    let found = all.filter(\.targets.hasFace)
    return found.isEmpty ? Array(all.prefix(1)) : found
  }

  private init(_ number: Int, _ detector: any FaceDetector, _ frame: DetectorFrame, on device: any Device) throws {
    (self.number, self.frame) = (number, frame)
    let truth = try DetectorTruth(detector, image: frame.image, within: frame.part)
    targets = try DetectorTargets(detector, [truth], width: frame.image.shape[3], device: device)
  }
}

extension Tensor {
  /// Images [N, C, H, W] at another size: shrunk by the mean of areas, enlarged linearly.
  func resized(toHeight height: Int, width: Int) throws -> Tensor {
    try resized(height: height, width: width, mode: height < shape[2] && width < shape[3] ? .area : .bilinear)
  }
}
