import Kernels
import Pictures

/// The image pyramid of dlib's detectors (its `pyramid_down<6>`): each level has five sixths of the rows and columns of the one
/// before, rounded down.
struct DlibPyramid {
  /// Of the levels, the image itself first.
  let sizes: [(height: Int, width: Int)]

  /// - Parameter hasLevel: whether there is a level of this size; asked for one after the other.
  init(height: Int, width: Int, hasLevel: (_ height: Int, _ width: Int) -> Bool) {
    var sizes = [(height: height, width: width)]
    while true {
      let next = (height: 5 * sizes.last!.height / 6, width: 5 * sizes.last!.width / 6)
      guard min(next.height, next.width) > 0, hasLevel(next.height, next.width) else { break }
      sizes.append(next)
    }
    self.sizes = sizes
  }

  /// The levels of images [N, C, height, width].
  /// - Parameter finished: what is done to each level after the image before the next one is made of it.
  func levels(_ images: Tensor, finished: (Tensor) throws -> Tensor = { $0 }) throws -> [Tensor] {
    try sizes.dropFirst().reduce(into: [images]) { levels, size in
      levels.append(
        try finished(
          levels.last!.resized(height: size.height, width: size.width, mode: .bilinearAlignedCorners)))
    }
  }

  /// The box in the image of the pixels `left` to `right` and `top` to `bottom` of a level, first and last ones included, whose
  /// places dlib rounds to whole pixels.
  static func box(left: Double, top: Double, right: Double, bottom: Double, level: Int) -> Box {
    func place(_ onLevel: Double) -> Float {
      Float((0..<level).reduce(onLevel) { place, _ in place * 1.2 + 0.3 }.rounded())
    }
    return Box(x0: place(left), y0: place(top), x1: place(right) + 1, y1: place(bottom) + 1)
  }
}
