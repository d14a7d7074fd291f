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
  /// How the perturbation is made.
  public var method = CraftMethod.joint
  /// The largest change of a channel, in units of [-1, 1]: above 0, at most 1.
  public var epsilon: Float = 0.05
  /// Pixels a side of the perturbation: 64...8192.
  public var size = 256
  /// Faces of a step, at least 1.
  public var batch = 8
  /// How often all faces are gone through, in each stage: 1...1e6.
  public var passes = 30
  /// Of the run's random numbers.
  public var seed: UInt64 = 1
  /// How activations are kept for their gradients.
  public var keptPrecision = KeptPrecision.single

  /// The faces' folder; empty where it is given on the command line.
  public var data = ""
  /// How many of the list's first faces are worked on, at least 1.
  public var faces = 128
  /// The last this many faces of the list are never worked on.
  public var holdOut = 480
  /// The generators to work against, as the command line takes them: names, files, or NAME=FILE.
  public var generators = ["stargan", "attentiongan"]
  /// The detectors to work against, by their names.
  public var detectors = ["retinaface"]

  // Stage 1.

  /// Steps against the generators' features for each step against all of the loss: 0...1e6.
  public var featureSteps = 3
  /// How far a sign step moves a channel, in units of [-1, 1].
  public var stepSize: Float = 1e-3
  /// Of the steps against all of the loss: 0...1.
  public var momentum: Float = 0.8
  /// The weight of contrast enhancement in the loss of features; 0 for none.
  public var enhancementWeight: Float = 0.001
  /// The enhancement grows with the exponential of the features' differences over this temperature. Positive.
  public var enhancementTemperature: Float = 0.1
  /// How much of the enhanced differences is added.
  public var enhancementStrength: Float = 0.4
  /// The share of the outputs' distance in the end-to-end loss, 0...1; the rest is the features'.
  public var outputShare: Float = 0.7
  /// How much of the running average of each generator's loss a step keeps, 0...1.
  public var weightMemory: Float = 0.9
  /// The temperature of the softmax that makes the generators' weights of these averages. Positive.
  public var weightTemperature: Float = 0.1
  /// How often pictures go through input diversity, 0...1.
  public var diversityProbability: Float = 0.5
  /// The side of input diversity's canvas in pixels for an image of 256: 257...1024.
  public var diversityCanvas: Float = 290

  // Stage 2.

  /// The magnitude, in units of [-1, 1], from which on a value of stage 1 stays as it is.
  public var tau: Float = 0.040
  /// How fast the mask falls with the magnitude of stage 1's values below `tau`.
  public var beta: Float = 5
  /// Steps of Adam on each batch: 1...1e6.
  public var poisonSteps = 50
  /// Their learning rate at first; it falls along a cosine.
  public var poisonRate: Float = 0.02
  /// Whether the mask of `tau` and `beta` holds stage 2 to weak values; otherwise it may change all.
  public var usesMask = true
  /// The largest addition before the budget is enforced.
  public var poisonBound: Float = 0.4
  /// The weight of both parts of the output loss.
  public var outputLossWeight: Float = 12
  /// The weight of inviting false faces on S3FD's first head; the paper's code has 20, the paper nothing.
  public var invitationWeight: Float = 0
  /// The strength of the noise in the features' targets while a face is still found.
  public var featureNoise: Float = 0.2
  /// Which feature levels the loss compares.
  public var featureLevels = FeatureLevels.all
  /// Channels that levels are projected to, on a 64x64 grid, by a random matrix that the seed fixes; 0 compares levels as
  /// they are.
  public var featureProjection = 0

  // Joint and poison, which are of this project: sign steps of epsilon / 20, falling linearly to 0.

  /// Of the sign steps: 0...1.
  public var jointMomentum: Float = 0.5
  /// The squared output change at which interruption counts as reached.
  public var interruptionTarget: Float = 0.25
  /// What the detectors are to be made to do.
  public var detectorGoal = DetectorGoal.both
  /// How much models count beside what they need and what can be reached, by their names; 1 for those that are not named.
  public var weights: [String: Float] = [:]
  /// The share of steps that look through a model of JPEG, 0...1.
  public var compressionProbability: Float = 0.5
  /// The quality of that JPEG: 1...100.
  public var compressionQuality = 75

  // CMUA and PGD.

  /// Sign steps on an image: 1...1e6.
  public var imageSteps = 10
  /// How far one moves a channel, in units of [-1, 1].
  public var imageStepSize: Float = 0.01

  /// A recipe of the values above.
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
