import Foundation
import Kernels
import Pictures

/// OpenCV's face detector, which programs of all kinds use still: a `HaarCascade` in windows of all sizes, with the settings that
/// OpenCV proposes (each size 1.1 times the last, four windows that agree). It judges only: it has no gradient, and nothing is
/// crafted or refined against it.
///
/// A score says how many windows agree on a face, n / (n + 1): 0.8 at the least, which is above the default threshold of all
/// detectors here.
package final class Haar: FaceFinder, Sendable {
  package static let name = "haar"
  package static let fileExtensions = ["xml"]

  private let cascade: HaarCascade
  /// Where it came from, for messages.
  private let origin: String

  /// How much larger windows become from one size to the next.
  private static let scaleFactor = 1.1
  /// A face needs more windows than this.
  private static let leastNeighbours = 3
  /// Windows of one picture; a face has some fifty. Comparing them takes the square of their number.
  private static let largestWindowCount = 1 << 16

  /// - Parameter device: none is needed.
  /// - Throws: `FileError` when the file is no cascade of OpenCV's.
  package init(contentsOf url: URL, on device: any Device) throws {
    (cascade, origin) = (try HaarCascade(contentsOf: url), url.path)
  }

  package init(_ data: Data, path: String) throws { (cascade, origin) = (try HaarCascade(data, path: path), path) }

  package func detect(_ image: Tensor, threshold: Float) throws -> [Detection] {
    try SingleShot.requireColours(image, Self.name)
    let groups = try groupedWindows(windows(in: GreyPicture(image)), moreThan: Self.leastNeighbours)
    let faces = groups.map { group in
      let window = group.window
      return Detection(
        box: Box(
          x0: Float(window.x), y0: Float(window.y), x1: Float(window.x + window.width),
          y1: Float(window.y + window.height)),
        score: Float(group.count) / Float(group.count + 1), landmarks: [])
    }
    let order = faces.indices.sorted { (faces[$1].score, $0) < (faces[$0].score, $1) }
    return order.map { faces[$0] }.filter { $0.score >= threshold }
  }

  /// The windows of all sizes that the cascade takes for a face, in the picture's pixels.
  private func windows(in picture: GreyPicture) throws -> [FaceWindow] {
    func rounded(_ value: Float) -> Int { Int(value.rounded(.toNearestOrEven)) }
    var found: [FaceWindow] = []
    var factor = 1.0
    while true {
      let scale = Float(factor)
      let (width, height) = (rounded(Float(cascade.width) * scale), rounded(Float(cascade.height) * scale))
      guard width <= picture.width, height <= picture.height else { return found }
      let level = picture.resized(
        height: rounded(Float(picture.height) / scale), width: rounded(Float(picture.width) / scale))
      let places = cascade.windows(in: level, step: scale >= 2 ? 1 : 2, limit: Self.largestWindowCount)
      found += places.map { place in
        FaceWindow(
          x: rounded(Float(place.x) * scale), y: rounded(Float(place.y) * scale), width: width, height: height)
      }
      guard found.count <= Self.largestWindowCount else {
        throw FileError(
          origin,
          "takes more than \(Self.largestWindowCount) windows of one picture for faces: is it a cascade for faces?")
      }
      factor *= Self.scaleFactor
    }
  }
}
