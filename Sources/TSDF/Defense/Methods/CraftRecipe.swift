import Foundation
import Kernels

/// Which of a detector's feature levels the paper's poisoning works on.
public enum FeatureLevels: String, Codable, CaseIterable, Sendable {
  /// All three, as the paper has it.
  case all
  /// The last alone, as the released code has it.
  case last
}

/// A whole crafting experiment: the defaults are the paper's (method sections 3 and 4) unless they say otherwise.
public struct CraftRecipe: Codable, Equatable, Sendable {
  public var method = CraftMethod.joint
  /// The largest change, in units of [-1, 1].
  public var epsilon: Float = 0.05
  /// Pixels a side of the perturbation.
  public var size = 256
  public var batch = 8
  public var passes = 30
  public var seed: UInt64 = 1
  public var keptPrecision = KeptPrecision.single

  /// The faces' folder; empty where it is given on the command line.
  public var data = ""
  /// Faces to work on, and the last so many that are left alone.
  public var faces = 128
  public var holdOut = 480
  /// As the command line takes them: names, files, or NAME=FILE.
  public var generators = ["stargan", "attentiongan"]
  public var detectors = ["retinaface"]

  /// Stage 1.
  public var featureSteps = 3
  public var stepSize: Float = 1e-3
  public var momentum: Float = 0.8
  public var enhancementWeight: Float = 0.001
  public var enhancementTemperature: Float = 0.1
  public var enhancementStrength: Float = 0.4
  /// The share of the outputs' distance in the end-to-end loss; the rest is the features'.
  public var outputShare: Float = 0.7
  /// Dynamic weights: the running average's memory, and the softmax's temperature.
  public var weightMemory: Float = 0.9
  public var weightTemperature: Float = 0.1
  public var diversityProbability: Float = 0.5
  /// Input diversity's canvas, in pixels for an image of 256.
  public var diversityCanvas: Float = 290

  /// Stage 2.
  public var tau: Float = 0.040
  public var beta: Float = 5
  public var poisonSteps = 50
  public var poisonRate: Float = 0.02
  public var usesMask = true
  /// The largest addition before the budget is enforced.
  public var poisonBound: Float = 0.4
  /// The weight of both parts of the output loss, and the noise in the feature targets while a face is still found.
  public var outputLossWeight: Float = 12
  /// Stage 2: the weight of inviting false faces on S3FD's first head; the paper's code has 20, the paper nothing.
  public var invitationWeight: Float = 0
  public var featureNoise: Float = 0.2
  public var featureLevels = FeatureLevels.all
  /// Channels that levels are projected to, on a 64x64 grid, by a random matrix that the seed fixes; 0 compares levels as
  /// they are.
  public var featureProjection = 0

  /// Joint and poison (ours): sign steps of epsilon / 20, falling linearly to 0, momentum 0.5.
  public var jointMomentum: Float = 0.5
  /// The squared output change at which interruption counts as reached.
  public var interruptionTarget: Float = 0.25
  public var detectorGoal = DetectorGoal.both
  /// How much models count beside what they need and what can be reached, by their names; 1 for those that are not named.
  public var weights: [String: Float] = [:]
  /// Joint and poison: the share of steps that look through a model of JPEG of this quality.
  public var compressionProbability: Float = 0.5
  public var compressionQuality = 75

  /// CMUA and PGD: sign steps on an image, and their size.
  public var imageSteps = 10
  public var imageStepSize: Float = 0.01

  public init() {}

  /// A recipe file: JSON with any of these fields; the others are as by default.
  /// - Throws: `FileError` naming a field that is unknown or does not hold what it should.
  public init(contentsOf url: URL) throws { try self.init(json: MappedFile(url).data, from: url, isStrict: true) }

  /// The same from the metadata of a file.
  /// - Parameter isStrict: refuse unknown fields, which other versions may have written.
  package init(json data: Data, from url: URL, isStrict: Bool = false) throws {
    self = try decodeRecipe(data, over: CraftRecipe(), from: url, isStrict: isStrict)
    do {
      try validate()
    } catch {
      throw FileError(url.path, "\(error)")
    }
  }
}
