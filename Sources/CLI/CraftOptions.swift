import ArgumentParser
import Networks
import TSDF

extension CraftMethod: ExpressibleByArgument {}
extension DetectorGoal: ExpressibleByArgument {}
extension FeatureLevels: ExpressibleByArgument {}

/// The fields of a `CraftRecipe` that `tsdf craft` takes as they are.
struct CraftOptions: RecipeOptions {
  @Option(help: "A labelled folder (list_attr*.txt) or a folder of face images.") var data: String?
  @Option(
    help: """
      joint, tsdf (the paper's two stages), interruption (its first), poison, and for comparison cmua, found, pgd (which \
      only marks its file: evaluate then adapts to each face) and noise.
      """) var method: CraftMethod?
  @Option(help: "The largest change of a channel, on a scale of -1 to 1 (0.05 is 6.4 of 255).") var epsilon: Float?
  @Option(help: "Pixels a side of the perturbation.") var size: Int?
  @Option(help: "Faces to work on.") var faces: Int?
  @Option(help: "The last this many faces of the data are left alone.") var holdOut: Int?
  @Option(help: "Faces a batch.") var batch: Int?
  @Option(help: "Passes over the faces (tsdf: of each stage).") var passes: Int?
  @Option(help: "Stage 1, found: feature steps a batch.") var featureSteps: Int?
  @Option(help: "Stage 1, found: size of a sign step.") var stepSize: Float?
  @Option(help: "Stage 1: momentum of the end-to-end step.") var momentum: Float?
  @Option(help: "Stage 1: weight of contrast enhancement.") var enhancementWeight: Float?
  @Option(help: "Stage 1: temperature of contrast enhancement.") var enhancementTemperature: Float?
  @Option(help: "Stage 1: strength of contrast enhancement.") var enhancementStrength: Float?
  @Option(help: "Stage 1: share of the outputs in the end-to-end loss.") var outputShare: Float?
  @Option(help: "Stage 1: memory of the losses that weigh the generators.") var weightMemory: Float?
  @Option(help: "Stage 1: temperature of the generators' weights.") var weightTemperature: Float?
  @Option(help: "Stage 1: probability of input diversity.") var diversityProbability: Float?
  @Option(help: "Stage 1: canvas of input diversity, in pixels for an image of 256.") var diversityCanvas: Float?
  @Option(help: "Stage 2: intensities from this on keep interrupting.") var tau: Float?
  @Option(help: "Stage 2: how fast freedom to poison falls with intensity.") var beta: Float?
  @Option(help: "Stage 2: Adam steps a batch.") var poisonSteps: Int?
  @Option(help: "Stage 2: Adam's learning rate.") var poisonRate: Float?
  @Option(help: "Stage 2: largest addition before the budget is enforced.") var poisonBound: Float?
  @Option(help: "Stage 2: weight of the output loss.") var outputLossWeight: Float?
  @Option(help: "Stage 2: weight of inviting false faces on S3FD's first head (the paper: 0; its code: 20).")
  var invitationWeight: Float?
  @Option(help: "Stage 2: noise in the feature targets.") var featureNoise: Float?
  @Option(help: "Stage 2: feature levels, all (the paper) or last (its code).") var featureLevels: FeatureLevels?
  @Option(help: "Stage 2: channels that feature levels are projected to (the paper: 128), 0 for none.")
  var featureProjection: Int?
  @Option(help: "Joint, poison: momentum.") var jointMomentum: Float?
  @Option(help: "Joint: mean squared change of an edit that is enough.") var interruptionTarget: Float?
  @Option(help: "Joint, poison: share of the steps that look through a model of JPEG.")
  var compressionProbability: Float?
  @Option(help: "Joint, poison: quality of that JPEG, 1 to 100.") var compressionQuality: Int?
  @Option(help: "Joint, poison: hide true faces, flood with false ones, or both.") var detectorGoal: DetectorGoal?
  @Option(
    help: "Joint, poison: how much models count, for example mtcnn=0.02,hisd=2; 1 for others.",
    transform: parseWeights) var weights: [String: Float]?
  @Option(help: "CMUA, PGD: sign steps an image.") var imageSteps: Int?
  @Option(help: "CMUA, PGD: size of a sign step.") var imageStepSize: Float?
  @Option(
    help: "Detectors, separated by commas, or none: \(detectorNames.joined(separator: ", ")).",
    transform: { items(of: $0) }) var detectors: [String]?
  @Option(help: "The run's random seed.") var seed: UInt64?
}

/// The weights of models in `NAME=VALUE,NAME=VALUE`.
private func parseWeights(_ text: String) throws -> [String: Float] {
  try text.split(separator: ",").reduce(into: [:]) { weights, item in
    let parts = item.split(separator: "=").map(String.init)
    guard parts.count == 2, let value = Float(parts[1]) else {
      throw ValidationError("\(item) is not NAME=VALUE")
    }
    weights[parts[0]] = value
  }
}
