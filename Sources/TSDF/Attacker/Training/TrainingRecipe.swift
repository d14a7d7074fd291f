import Kernels
import Networks

/// How a generator is trained. What a model does not have is left alone.
public struct TrainingRecipe: Codable, Equatable, Sendable {
  /// What is trained: one of `generatorNames`, `classifier` or `denoiser`.
  public var model = ""
  /// The attributes that the generator edits.
  public var attributes: [String] = []
  /// HiSD's tags, separated by semicolons: each a label, or several exclusive ones separated by commas, as in
  /// `Male;Child,Young,Middle,Senior`.
  public var tags = ""
  /// Pixels a side: 8...2048, a multiple of 4.
  public var imageSize = 128
  /// Channels of the trained network's first layer: 1...65536.
  public var width = 64
  /// Residual blocks of StarGAN and AttentionGAN, encoder layers of AttGAN, translator blocks of HiSD.
  public var blocks = 6
  /// Channels of the discriminator's first layer: 1...65536.
  public var discriminatorWidth = 64
  /// Layers of the discriminator: 1...12.
  public var discriminatorLayers = 6
  /// Units of AttGAN's hidden layers, values of HiSD's styles.
  public var hiddenCount = 256
  /// Faces of a step, at least 1.
  public var batch = 16
  /// Generator steps.
  public var steps = 200_000
  /// Discriminator steps for each generator step, of models with a Wasserstein critic: 1...1000.
  public var criticSteps = 5
  /// Before it falls: 0...1.
  public var learningRate: Float = 1e-4
  /// Of HiSD's mappers.
  public var mapperLearningRate: Float = 1e-6
  /// Adam's decay of the mean of gradients, at least 0 and below 1.
  public var beta1: Float = 0.5
  /// Adam's decay of the mean of squared gradients, at least 0 and below 1.
  public var beta2: Float = 0.999
  /// What a step keeps of an average of the generator's weights, which is used in their place: at least 0 and below 1. Where it is not
  /// set, as the model's authors do: 0.99 for HiSD, no average for the others.
  public var averaging: Float?
  /// Over the last this many generator steps the learning rate falls linearly to 0.
  public var decaySteps = 100_000
  /// Of the attribute loss of the generator: 0...1e6.
  public var classificationWeight: Float = 1
  /// Of the attribute loss of the discriminator: 0...1e6.
  public var criticClassificationWeight: Float = 1
  /// Of the generator's loss of reconstruction: 0...1e6.
  public var reconstructionWeight: Float = 10
  /// Of the discriminator's gradient penalty: 0...1e6.
  public var penaltyWeight: Float = 10
  /// Of HiSD's loss of styles: 0...1e6.
  public var styleWeight: Float = 1
  /// Of the run's random numbers.
  public var seed: UInt64 = 1
  /// How activations are kept for their gradients.
  public var keptPrecision = KeptPrecision.single
  /// Whether inner activations are computed a second time for their gradients, in place of being kept. Not where it is not set.
  public var recomputes: Bool?
  /// The last this many faces of the list are never trained on.
  public var holdOut = 480
  /// Parts that a batch is worked on in, one after another; their gradients are added. 1 where it is not set.
  public var accumulate: Int?
  /// What half of the faces are put through, each time with a random one, by names of `augmentationNames`. None where it is not
  /// set.
  public var augment: [String]?
  /// What an attacker does who goes on from a trained generator; nil for training from scratch.
  public var retraining: RetrainingRecipe?

  /// A recipe of the values above, for no model yet.
  public init() {}

  /// Faces that are worked on at once, at most; nil for whole batches.
  var sliceLength: Int? { accumulate.map { (batch + $0 - 1) / $0 } }

  /// This recipe with what another may change during a run.
  func steered(as other: TrainingRecipe) -> TrainingRecipe {
    var recipe = self
    func take<T>(_ path: WritableKeyPath<TrainingRecipe, T>) { recipe[keyPath: path] = other[keyPath: path] }
    take(\.steps)
    take(\.decaySteps)
    take(\.learningRate)
    take(\.mapperLearningRate)
    for weight in [
      \TrainingRecipe.classificationWeight, \.criticClassificationWeight, \.reconstructionWeight, \.penaltyWeight,
      \.styleWeight,
    ] {
      take(weight)
    }
    return recipe
  }

  /// What a model's authors trained with.
  /// - Throws: `FileError` when there is no such model.
  public init(defaultsOf model: String) throws {
    self =
      switch model {
      case AttributeClassifier.name: ClassifierObjective.defaults
      case Denoiser.name: DenoiserObjective.defaults
      default: try trainableType(model).objective.defaults
      }
    self.model = model
  }
}
