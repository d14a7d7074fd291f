import Foundation
import Kernels
import Networks

/// An experiment on persistence: each defender against each attacker, over several seeds.
public struct PersistenceRecipe: Codable, Equatable, Sendable {
  /// The model of the generator that the attacker has: one of `generatorNames`.
  public var model = "stargan"
  /// The generator's file.
  public var generator = "weights/stargan.safetensors"
  /// Its critic's file, where the attacker has that too.
  public var critic: String?
  /// The file of the classifier that says whether an edit shows what was asked for.
  public var classifier = AttributeClassifier.shipped
  /// Pixels a side of the photos, which are aligned faces: 64...8192.
  public var size = 256
  /// Where in the list the faces begin that the attacker collects; perturbations are crafted on the ones before.
  public var firstCollected = 128
  /// How many faces he collects, at least 1.
  public var collected = 60
  /// The last this many faces of the list judge, and nothing else.
  public var holdOut = 480
  /// How many of them are looked at, at least 2.
  public var judged = 30
  /// The largest change of a channel, in units of [-1, 1].
  public var epsilon: Float = 0.05
  /// What purifiers, preparation and retraining are repeated with: different numbers, at least one. Photos are protected once.
  public var seeds: [UInt64] = [1, 2, 3]
  /// After how many generator steps the retrained generator is judged: 0 first, ascending.
  public var steps = [0, 5, 10, 25, 50]
  /// Faces of a step of retraining, at least 1.
  public var batch = 4
  /// Critic steps for each generator step, at least 1.
  public var criticSteps = 5
  /// Of retraining, 0...1.
  public var learningRate: Float = 1e-4
  /// Critic steps before the first generator step, where there is no critic's file.
  public var warmUpSteps = 100
  /// Channels of the first layer of the critic that is then trained.
  public var discriminatorWidth = 32
  /// Its layers: 1...12.
  public var discriminatorLayers = 5
  /// What networks judge edits by besides: lpips, fid. None where it is not set.
  public var metrics: [String]?
  /// Who protects, at least one; names differ.
  public var defenders: [Defender] = []
  /// Who attacks, at least one; names differ.
  public var attackers: [Attacker] = []

  /// Whoever protects the photos.
  public struct Defender: Codable, Equatable, Sendable {
    /// How it is called in results and folders: a letter or digit at least.
    public var name = ""
    /// A perturbation's file.
    public var perturbation: String?
    /// How its perturbation is crafted, where it has no file; with neither, and no steps, photos stay as they are.
    public var craft: CraftRecipe?
    /// Gradient steps for each photo, from noise of its own on.
    public var refineSteps = 0
    /// How visible refinement may be.
    public var level = ProtectionLevel.standard
    /// The generators that refinement works against, as the command line takes them: names, files, or NAME=FILE.
    public var refineGenerators = ["stargan", "attentiongan"]
    /// The detectors that refinement hides faces from, by their names.
    public var refineDetectors = ["retinaface"]

    /// A defender without a name who leaves photos as they are.
    public init() {}

    /// Whether photos stay as they are.
    var isNone: Bool { perturbation == nil && craft == nil && refineSteps == 0 }
  }

  /// Whoever collects them.
  public struct Attacker: Codable, Equatable, Sendable {
    /// How he is called in results and folders: a letter or digit at least.
    public var name = ""
    /// Detectors whose union says which photos are kept, and what else is cut out; with none, all photos are kept.
    public var detectors: [String] = []
    /// What these detectors see collected photos through, as a `PurificationRecipe` is written; crops are of the photos as they are.
    public var detectThrough: String?
    /// What photos are put through before the generator edits them, as a `PurificationRecipe` is written.
    public var purify: String?
    /// Whether the generator is trained on what was kept.
    public var retrains = true
    /// What half of the faces are put through while he trains, by names of `augmentationNames`.
    public var augment: [String] = []
    /// Whether he trains on pairs, as in `RetrainingRecipe`: he knows the originals.
    public var isPaired = false
    /// The rank of patches that are trained in place of all parameters; 0 for none.
    public var rank = 0
    /// The share of public clean faces mixed in, 0...1: as many as are collected, the next in the list.
    public var cleanShare: Float = 0

    /// An attacker without a name who keeps all photos and retrains on them.
    public init() {}
  }

  /// The values above, with nobody who protects or attacks.
  public init() {}

  /// Those that can be measured.
  static let metricNames: [MetricName] = [.lpips, .fid]

  var judgingNetworks: [MetricName] { metrics?.compactMap(MetricName.init) ?? [] }

  /// From JSON with any of the fields, of defenders, attackers and crafting recipes too; the others are as by default.
  /// - Throws: `FileError` naming the field at fault, `RecipeError` where it holds what cannot be.
  public init(contentsOf url: URL) throws {
    let json = try MappedFile(url).data
    guard var given = try? JSONSerialization.jsonObject(with: json) as? [String: Any] else {
      throw FileError(url.path, "has no recipe: a JSON object is expected")
    }
    /// The items of a list, each with what it does not say.
    func complete(_ list: String, _ item: (Data) throws -> some Codable) throws {
      guard let items = given[list] else { return }
      guard let items = items as? [[String: Any]] else { throw FileError(url.path, "\(list) is no list of objects") }
      given[list] = try items.map {
        let whole = try item(JSONSerialization.data(withJSONObject: $0))
        return try JSONSerialization.jsonObject(with: JSONEncoder().encode(whole))
      }
    }
    try complete("attackers") {
      try decodeRecipe($0, over: Attacker(), from: url, isStrict: true, optional: ["purify", "detectThrough"])
    }
    try complete("defenders") { data in
      var fields = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
      let craft = fields.removeValue(forKey: "craft")
      var defender = try decodeRecipe(
        JSONSerialization.data(withJSONObject: fields), over: Defender(), from: url, isStrict: true,
        optional: ["perturbation", "craft"])
      if let craft {
        guard JSONSerialization.isValidJSONObject(craft) else { throw FileError(url.path, "craft is no object") }
        defender.craft = try decodeRecipe(
          JSONSerialization.data(withJSONObject: craft), over: CraftRecipe(), from: url, isStrict: true)
      }
      return defender
    }
    self = try decodeRecipe(
      JSONSerialization.data(withJSONObject: given), over: PersistenceRecipe(), from: url, isStrict: true,
      optional: ["critic", "metrics"])
    try validate()
  }
}
