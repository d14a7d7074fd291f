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
  /// Rows and columns that are cut off at the top and the left, as many grey ones added at the other sides.
  private var cut = (rows: 0, columns: 0)

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
    return try cut(image + spread).clamped(to: -1...1)
  }

  /// The same piece of the photo without so many of its first rows and columns.
  func cut(rows: Int, columns: Int) -> DetectorFrame {
    var frame = self
    frame.cut = (rows, columns)
    return frame
  }

  /// The piece without the change, as it is shown.
  fileprivate func shown() throws -> (image: Tensor, part: Box) {
    (try cut(image), part.shifted(x: -Float(cut.columns), y: -Float(cut.rows)))
  }

  private func cut(_ x: Tensor) throws -> Tensor {
    if cut == (0, 0) { return x }
    return try x.sliced(axis: 2, cut.rows..<x.shape[2]).sliced(axis: 3, cut.columns..<x.shape[3]).padded(
      top: 0, bottom: cut.rows, left: 0, right: cut.columns)
  }
}

@available(*, unavailable)
extension DetectorFrame: Sendable {}

/// What it takes to hide a part of a photo from a detector that is shown a piece of it: a goal.
struct DetectorHiding {
  /// The detector's among the refiner's.
  let number: Int
  /// The piece as it is and with rows and columns cut off, and what the detector must miss in each; one of them is shown a step.
  let cases: [(frame: DetectorFrame, targets: DetectorTargets)]

  /// How many cuts there may be of a piece. Networks halve pictures, so what they see depends on where it lies on a grid: faces that had been
  /// hidden in the piece as it is were found, all of them, when two pixels of the photo were cut off.
  static let cuts = 8
  /// Cuts by more are as those by less: of the steps in which prior boxes lie.
  private static let coarsestStep = 32

  /// A goal for each piece in which the detector finds something in the part; for the first where there is none: what hides a face at
  /// one size need not at another.
  static func all(
    _ number: Int, _ detector: any FaceDetector, _ frames: [DetectorFrame], cuts: Int, random: inout RandomStream,
    on device: any Device
  ) throws -> [DetectorHiding] {
    let all = try frames.map { frame in
      let side = min(frame.image.shape[2], frame.image.shape[3], coarsestStep)
      let cut = (0..<cuts).map { _ in
        frame.cut(rows: random.integer(below: side), columns: random.integer(below: side))
      }
      return try ([frame] + cut).map { ($0, try DetectorTargets(of: detector, in: $0, on: device)) }
    }
    let found = all.map { $0.filter(\.1.hasFace) }.filter { !$0.isEmpty }
    return (found.isEmpty ? [Array(all[0].prefix(1))] : found).map { DetectorHiding(number: number, cases: $0) }
  }
}

extension DetectorTargets {
  /// What a detector must miss in a piece.
  fileprivate init(of detector: any FaceDetector, in frame: DetectorFrame, on device: any Device) throws {
    let (image, part) = try frame.shown()
    try self.init(
      detector, [DetectorTruth(detector, image: image, within: part)], width: image.shape[3], device: device)
  }
}

extension Tensor {
  /// Images [N, C, H, W] at another size: shrunk by the mean of areas, enlarged linearly.
  func resized(toHeight height: Int, width: Int) throws -> Tensor {
    try resized(height: height, width: width, mode: height < shape[2] && width < shape[3] ? .area : .bilinear)
  }
}
