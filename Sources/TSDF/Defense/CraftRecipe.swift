import Foundation
import Kernels

/// How a universal perturbation is made.
public enum CraftMethod: String, Codable, CaseIterable, Sendable {
  /// Both goals in every step, weighed by how far each still is from its target.
  case joint
  /// The paper's two stages in turn, with the intensity-separation mask.
  case tsdf
  /// Stage 1 alone.
  case interruption
  /// The detectors alone, by the loss of `joint`.
  case poison
  /// Uniform random noise: the control.
  case noise
}

/// All constants of crafting; the defaults are the paper's (method sections 3 and 4) unless they say otherwise.
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
  public var featureNoise: Float = 0.2

  /// Joint and poison (ours): sign steps of epsilon / 20, falling linearly to 0, momentum 0.5.
  public var jointMomentum: Float = 0.5
  /// The squared output change at which interruption counts as reached.
  public var interruptionTarget: Float = 0.12

  /// What it was made on and against, for the record.
  public var faces = 128
  public var generators: [String] = []
  public var detectors: [String] = []

  public init() {}
}
