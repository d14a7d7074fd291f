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
  /// The least side of a piece that is shown.
  static let smallestSide = 48
  /// What becomes of the piece before the detector sees it.
  private var transformation = Transformation()

  /// What people and platforms do to photos that moves them on the network's grid.
  package struct Transformation {
    /// Of the sides.
    package var size: Float = 1
    /// Rows and columns that are cut off first, at the top and the left; as many grey ones are added at the other sides, so that
    /// pieces stay of one size.
    package var rows = 0, columns = 0

    package init(size: Float = 1, rows: Int = 0, columns: Int = 0) {
      (self.size, self.rows, self.columns) = (size, rows, columns)
    }
  }

  /// An image of which a part changes.
  package init(_ image: Tensor, part: ImagePart) {
    (self.image, self.part, placement) = (image, part.box, .at(part))
  }

  init(_ image: Tensor, part: Box, placement: Placement) {
    (self.image, self.part, self.placement) = (image, part, placement)
  }

  /// The piece with a change of the part, [1, 3, h, w].
  package func changed(by change: Tensor) throws -> Tensor {
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
    return try seen(image + spread).clamped(to: -1...1)
  }

  /// The same piece of a photo that was cut or shrunk; nil where nothing can be seen in it.
  package func transformed(by transformation: Transformation) -> DetectorFrame? {
    var frame = self
    frame.transformation = transformation
    let (height, width) = frame.size
    return min(height, width) >= Self.smallestSide ? frame : nil
  }

  /// The piece without the perturbation, as it is shown.
  package func shown() throws -> (image: Tensor, part: Box) {
    let (height, width) = size
    return (
      try seen(image),
      part.shifted(x: -Float(transformation.columns), y: -Float(transformation.rows)).scaled(
        x: Float(width) / Float(image.shape[3]), y: Float(height) / Float(image.shape[2]))
    )
  }

  /// As it is shown.
  private var size: (height: Int, width: Int) {
    func length(_ side: Int) -> Int { Int((Float(side) * transformation.size).rounded()) }
    return (length(image.shape[2]), length(image.shape[3]))
  }

  private func seen(_ x: Tensor) throws -> Tensor {
    var x = x
    if transformation.rows > 0 || transformation.columns > 0 {
      x = try x.sliced(axis: 2, transformation.rows..<x.shape[2]).sliced(axis: 3, transformation.columns..<x.shape[3])
        .padded(
          top: 0, bottom: transformation.rows, left: 0, right: transformation.columns)
    }
    return transformation.size == 1 ? x : try x.resized(toHeight: size.height, width: size.width)
  }
}

@available(*, unavailable)
extension DetectorFrame: Sendable {}

/// What it takes to hide a part of a photo from a detector that is shown a piece of it: a goal.
struct DetectorHiding {
  /// The detector's among the refiner's.
  let number: Int
  /// The piece as it is first, where the detector finds something in it so, then what may become of it, and what it must miss in each.
  let cases: [(frame: DetectorFrame, targets: DetectorTargets)]

  /// The sizes that photos are shrunk to, and how often the piece of each size is cut. Networks halve pictures, so what they see
  /// depends on how large a face is and where it lies on a grid: faces that had been hidden in the piece as it is were found, all of
  /// them, when two pixels of the photo were cut off, or when it was shrunk to 0.9. At 0.5 hardly one is hidden, and to try takes the
  /// budget from all else.
  private static let sizes: [Float] = [1, 0.9, 0.8, 0.7], cuts = 6
  /// How many cases are shown a step.
  static let looks = 2
  /// Cuts by more are as those by less: of the steps in which prior boxes lie.
  private static let coarsestStep = 32

  /// A goal for each piece in which the detector finds something in the part; for the first where there is none: what hides a face at
  /// one size need not at another.
  static func all(
    _ number: Int, _ detector: any FaceDetector, _ frames: [DetectorFrame], random: inout RandomStream,
    on device: any Device
  ) throws -> [DetectorHiding] {
    let all = try frames.map { frame in
      let side = min(frame.image.shape[2], frame.image.shape[3], coarsestStep)
      return try sizes.flatMap { size in
        let changed = (0..<cuts).compactMap { number -> DetectorFrame? in
          let (rows, columns) = (random.integer(below: side), random.integer(below: side))
          return number == 0 && size == 1
            ? frame : frame.transformed(by: .init(size: size, rows: rows, columns: columns))
        }
        return try zip(changed, targets(of: detector, in: changed, on: device)).map { ($0, $1) }
      }
    }
    let found = all.map { $0.filter(\.1.hasFace) }.filter { !$0.isEmpty }
    return (found.isEmpty ? [Array(all[0].prefix(1))] : found).map { DetectorHiding(number: number, cases: $0) }
  }

  /// What a detector must miss in each of several pieces that are shown at one size.
  private static func targets(of detector: any FaceDetector, in frames: [DetectorFrame], on device: any Device) throws
    -> [DetectorTargets]
  {
    guard !frames.isEmpty else { return [] }
    let shown = try frames.map { try $0.shown() }
    let images = try Tensor.concatenated(shown.map(\.image), axis: 0)
    return try DetectorTruth.each(detector, of: images, within: shown.map(\.part)).map {
      try DetectorTargets(detector, [$0], width: images.shape[3], device: device)
    }
  }
}

extension Tensor {
  /// Images [N, C, H, W] at another size: shrunk by the mean of areas, enlarged linearly.
  func resized(toHeight height: Int, width: Int) throws -> Tensor {
    try resized(height: height, width: width, mode: height < shape[2] && width < shape[3] ? .area : .bilinear)
  }
}
