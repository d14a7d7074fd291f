import Foundation
import Pictures

/// Which part of a picture the perturbation is laid on.
public enum ProtectedRegion: String, Codable, CaseIterable, Sendable {
  /// Each face's square with margin; the whole picture where no face is found.
  case faces
  /// The whole picture: aligned faces.
  case image
}

/// What the steps of refinement begin with.
public enum RefinementStart: String, Codable, CaseIterable, Sendable {
  /// Noise of the whole budget, of each picture's own: what pictures have in common is nothing.
  case random
  /// The universal perturbation.
  case universal
}

/// How pictures are protected.
public struct ProtectionSettings: Codable, Equatable, Sendable {
  /// Which part of a picture is protected.
  public var region = ProtectedRegion.faces
  /// The largest change of a channel, in units of [-1, 1]: above 0, at most 1.
  public var epsilon: Float = 0.05
  /// Gradient steps for each face; with 0 the universal perturbation is laid on as it is.
  public var refineSteps = 0
  /// What these steps begin with.
  public var start = RefinementStart.random
  /// How much of epsilon the steps may use where a picture is flat, 0...1: noise shows there most.
  public var smoothShare: Float = 1
  /// The side of a face's square, as a multiple of its box's longer side: what generators are given of it.
  public var margin: Float = 1.5
  /// The side of the square that refinement changes, likewise; no smaller than the face's. Detectors tell faces by what is around them too:
  /// with the face's square alone a face in a photo is hardly hidden once the photo is cut or shrunk.
  public var extent: Float = 2.2
  /// The side of the square that is changed, likewise: a universal perturbation is made for the face's.
  package var changedExtent: Float { refineSteps > 0 ? max(margin, extent) : margin }
  /// Pictures with a longer side are shrunk to this to find faces; nil for none: faces are looked for at full size.
  public var longestSide: Int?
  /// Faces that are protected besides those that are found, in pixels of each picture, upright.
  public var faces: [Box] = []
  /// Of all random numbers.
  public var seed: UInt64 = 1
  /// The SHA-256 of the perturbation's file, and of the classifier's that tells which edits of a face there are.
  public var perturbation = "", classifier = ""

  /// The settings above.
  public init() {}
}

/// A protected picture and what was done.
public struct ProtectionResult: Sendable {
  /// The protected picture, upright, of the original's size.
  public let image: Image
  /// The picture as it is saved; nil where it was not said how.
  public let encoded: Data?
  /// Squares that were changed; the whole picture when it was taken as one.
  public let regions: [Box]
  /// Faces found or given, or where whole pictures are asked for those that are to be hidden; 0 where there is none.
  public let faceCount: Int
  /// Those of them that a detector which was refined against still finds in the picture as it is saved; nil where refinement was not
  /// to hide them.
  public let stillFound: [Box]?
  /// The peak signal-to-noise ratio against the original, in dB.
  public let psnr: Double
  /// The structural similarity to the original, at most 1, from 32 of the picture's rows.
  public let ssim: Double
}

/// How far the protection of one picture is.
public struct ProtectionProgress: Sendable {
  /// Faces of this round, or regions where there is none, and which of them is refined, from 1 on.
  public let faces: Int, face: Int
  /// Steps for a face, and those done.
  public let steps: Int, step: Int
  /// 0 at first, then how often what was still found is refined again.
  public let round: Int
  /// The share of the steps known of so far that are done, 0...1.
  public let fraction: Double
}
