import Kernels
import Networks
import Pictures
import Synchronization

/// What an attacker does with collected photos before training on them: finds the faces and cuts them out. Serves
/// several threads: the device works for one photo at a time, the rest runs side by side.
package final class FacePreparation: Sendable {
  package let settings: PreparationSettings
  private let detectors: Mutex<DetectorEnsemble>

  /// - Parameter detectors: given up by the caller, and with them their device and all that is on it.
  package init(_ settings: PreparationSettings, detectors: sending DetectorEnsemble) {
    self.settings = settings
    self.detectors = Mutex(detectors)
  }

  /// A decoded photo as detectors are given it and crops are cut from it: upright, after what photos are put through.
  package func photo(_ file: ImageFile) throws -> Image {
    try detectors.withLock { try $0.purified(file.image.upright(from: file.orientation)) }
  }

  /// All faces in an upright photo that are large enough, best score first.
  /// - Parameter isCollected: else it is a clean photo, which tells the truth.
  package func faces(in photo: Image, isCollected: Bool = true) throws -> [FoundFace] {
    try detectors.withLock { try $0.faces(in: photo, settings, isCollected: isCollected) }.filter { face in
      // What no picture can hold comes of photos made to break detectors.
      let (box, marks) = (face.detection.box, face.detection.landmarks)
      let places = [box.x0, box.y0, box.x1, box.y1] + marks.flatMap { [$0.x, $0.y] }
      return places.allSatisfy(isPlace) && isLargeEnough(box) && box.intersection(photo.bounds) >= 1
    }
  }

  /// Those of a photo's faces that are cut out.
  package func chosen(_ faces: [FoundFace]) -> [FoundFace] {
    guard settings.faces == .largest else { return faces }
    // Of equal areas the better score, which comes first.
    return faces.max { $0.detection.box.area < $1.detection.box.area }.map { [$0] } ?? []
  }

  /// A face's crop from its upright photo.
  package func crop(_ face: Detection, from photo: Image) -> Image {
    photo.warped(by: FaceAlignment.transform(for: face, settings), size: settings.size)
  }

  /// The boxes of the faces that really are in a photo of `width` x `height` pixels, those left out that are too small.
  package func boxes(of truth: FaceTruth.Source, width: Int, height: Int) throws -> [Box] {
    let known: PhotoDetections
    switch truth {
    case .boxes(let detections): known = detections
    case .photo(let path, let data):
      let clean = try ImageFile(data, path: path)
      let upright = clean.image.upright(from: clean.orientation)
      known = PhotoDetections(
        file: path, width: upright.width, height: upright.height,
        faces: try faces(in: upright, isCollected: false).map(\.detection))
    }
    // The photo may have been resized since.
    let (x, y) = (Float(width) / Float(known.width), Float(height) / Float(known.height))
    return known.faces.map { $0.box.scaled(x: x, y: y) }.filter(isLargeEnough)
  }

  private func isLargeEnough(_ box: Box) -> Bool { min(box.width, box.height) >= Float(settings.minSize) }

  /// Lends the device for as long as `body` runs.
  package func withDevice<R: Sendable>(_ body: (any Device) throws -> R) rethrows -> R {
    try detectors.withLock { try body($0.device) }
  }
}

/// Whether a number may be a place in a picture or near it, in pixels: no area of such overflows.
func isPlace(_ value: Float) -> Bool { abs(value) <= 1e8 }
