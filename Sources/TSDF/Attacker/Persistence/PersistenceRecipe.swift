import Foundation
import Kernels
import Networks

/// An experiment on persistence: each defender against each attacker, over several seeds.
public struct PersistenceRecipe: Codable, Equatable, Sendable {
  /// The generator that the attacker has: its model, its file, and its critic's where he has that too.
  public var model = "stargan"
  public var generator = "weights/stargan.safetensors"
  public var critic: String?
  /// The classifier that says whether an edit shows what was asked for.
  public var classifier = AttributeClassifier.shipped
  /// Pixels a side of the photos, which are aligned faces.
  public var size = 256
  /// Of the list's faces those that the attacker collects; perturbations are crafted on the ones before.
  public var firstCollected = 128
  public var collected = 60
  /// The last this many faces of the list judge, and nothing else; so many of them are looked at.
  public var holdOut = 480
  public var judged = 30
  /// The largest change of a channel, in units of [-1, 1].
  public var epsilon: Float = 0.05
  public var seeds: [UInt64] = [1, 2, 3]
  /// After how many generator steps the retrained generator is judged.
  public var steps = [0, 5, 10, 25, 50]
  public var batch = 4
  public var criticSteps = 5
  public var learningRate: Float = 1e-4
  /// Critic steps before the first generator step, where there is no critic's file.
  public var warmUpSteps = 100
  /// Of the discriminator that is then trained.
  public var discriminatorWidth = 32
  public var discriminatorLayers = 5
  /// What networks judge edits by besides: lpips, fid. None where it is not set.
  public var metrics: [String]?
  public var defenders: [Defender] = []
  public var attackers: [Attacker] = []

  /// Whoever protects the photos.
  public struct Defender: Codable, Equatable, Sendable {
    public var name = ""
    /// A perturbation's file.
    public var perturbation: String?
    /// How its perturbation is crafted, where it has no file; with neither, and no steps, photos stay as they are.
    public var craft: CraftRecipe?
    /// Gradient steps for each photo, from noise of its own on.
    public var refineSteps = 0
    /// How visible refinement may be.
    public var level = ProtectionLevel.standard
    /// What refinement works against.
    public var refineGenerators = ["stargan", "attentiongan"]
    public var refineDetectors = ["retinaface"]

    public init() {}

    /// Whether photos stay as they are.
    var isNone: Bool { perturbation == nil && craft == nil && refineSteps == 0 }
  }

  /// Whoever collects them.
  public struct Attacker: Codable, Equatable, Sendable {
    public var name = ""
    /// Detectors whose union says which photos are kept, and what else is cut out; with none, all photos are kept.
    public var detectors: [String] = []
    /// What photos are put through before the generator edits them, as a `PurificationRecipe` is written.
    public var purify: String?
    /// Whether the generator is trained on what was kept.
    public var retrains = true
    /// As in `RetrainingRecipe`: what faces are augmented with, whether he knows the originals, the rank of patches.
    public var augment: [String] = []
    public var isPaired = false
    public var rank = 0
    /// The share of public clean faces mixed in: as many as are collected, the next in the list.
    public var cleanShare: Float = 0

    public init() {}
  }

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
      try decodeRecipe($0, over: Attacker(), from: url, isStrict: true, optional: ["purify"])
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
