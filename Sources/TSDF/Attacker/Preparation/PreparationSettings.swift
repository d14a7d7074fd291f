import Networks

/// Which faces of a photo are cut out.
package enum ChosenFaces: String, Codable, CaseIterable, Sendable {
  case all
  /// The one with the largest box.
  case largest
}

/// How faces are found and cut out; the same settings make the same crops of a photo.
package struct PreparationSettings: Codable, Equatable, Sendable {
  /// The names of the detectors.
  package var detectors: [String] = [RetinaFace.name]
  package var combination = DetectionCombination.union
  /// How many detectors must find a face when they vote, 1 to their number.
  package var votes = 1
  /// The lowest score of a face, 0...1.
  package var threshold: Float = defaultDetectionThreshold
  /// Faces whose box has a shorter side than this are left out, in pixels of the photo.
  package var minSize = 0
  package var faces = ChosenFaces.all
  /// Pictures with a longer side are shrunk to this for detection.
  package var longestSide = 1280
  /// The side of a crop's square, as a multiple of the longer side of the face's box.
  package var margin: Float = 1.5
  /// Pixels a side of crops.
  package var size = 256
  /// Turns and scales faces so that eyes, nose and mouth come to lie where they always do.
  package var align = false

  /// What photos are put through first, as a `PurificationRecipe` is written; nil for nothing.
  package var purify: String?

  package init() {}
}
