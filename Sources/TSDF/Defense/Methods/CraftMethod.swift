import Kernels

/// All methods of crafting: what adding one takes, besides its own file.
private let methods: [any CraftingMethod.Type] = [
  JointMethod.self, TwoStageMethod.self, InterruptionMethod.self, PoisonMethod.self, CMUAMethod.self, FOUNDMethod.self,
  PGDMethod.self, NoiseMethod.self,
]

/// How a universal perturbation is made, by the name that recipes and the command line use.
public struct CraftMethod: RawRepresentable, Codable, CaseIterable, Hashable, Sendable {
  /// The name.
  public let rawValue: String

  /// Nil where there is no method of this name.
  public init?(rawValue: String) {
    guard methods.contains(where: { $0.name == rawValue }) else { return nil }
    self.rawValue = rawValue
  }

  init(_ type: any CraftingMethod.Type) { rawValue = type.name }

  /// Every method, the default first.
  public static var allCases: [CraftMethod] { methods.map { CraftMethod($0) } }

  var type: any CraftingMethod.Type { methods.first { $0.name == rawValue }! }

  /// What the method makes of generators, and of detectors.
  package var generators: ModelUse { type.generators }
  package var detectors: ModelUse { type.detectors }

  /// What a method makes of models of a kind.
  package enum ModelUse: Sendable {
    /// Nothing.
    case none
    /// It works against those that there are.
    case optional
    /// It works against them, and there must be one.
    case required
  }
}

/// A way of making a universal perturbation, batch by batch. The order of the faces, the perturbation, checkpoints and files
/// are `Crafter`'s.
protocol CraftingMethod: SendableMetatype {
  /// The name in recipes and on the command line.
  static var name: String { get }
  /// What it works against.
  static var generators: CraftMethod.ModelUse { get }
  static var detectors: CraftMethod.ModelUse { get }

  /// How often the recipe's passes are gone through: once a stage; 0 for what adapts to each image by itself.
  static var stages: Int { get }

  /// The perturbation to begin with, of the recipe's size: random within the budget, unless the method says otherwise.
  static func start(_ recipe: CraftRecipe, random: inout RandomStream, device: any Device) throws -> Tensor

  init(_ run: CraftingRun) throws

  /// What a checkpoint holds besides the perturbation, by name. What it is set to has these names and shapes, and of those
  /// of `laterState` what the checkpoint has.
  var state: [String: Tensor] { get set }

  /// The names of what it comes to keep in the course of a run, of the perturbation's shape.
  static var laterState: [String] { get }

  /// One batch: moves `run.perturbation`.
  mutating func step(_ batch: CraftingBatch, _ run: CraftingRun) throws
}

extension CraftingMethod {
  static var stages: Int { 1 }
  static var laterState: [String] { [] }

  /// Nothing is kept from batch to batch.
  var state: [String: Tensor] {
    get { [:] }
    set {}
  }

  static func start(_ recipe: CraftRecipe, random: inout RandomStream, device: any Device) throws -> Tensor {
    try random.uniform(
      [1, 3, recipe.size, recipe.size], in: -recipe.epsilon..<recipe.epsilon, device: device)
  }
}

/// The faces of a step.
struct CraftingBatch {
  /// [N, 3, size, size] in [-1, 1].
  let images: Tensor
  /// Their numbers in the face set.
  let indices: [Int]
}
