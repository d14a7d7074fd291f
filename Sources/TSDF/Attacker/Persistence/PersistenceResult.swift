/// What one attacker makes of one defender's photos with one seed.
public struct PersistenceResult: Codable, Equatable, Sendable {
  /// The defender's name, and the attacker's.
  public var defender: String, attacker: String
  /// One of the recipe's.
  public var seed: UInt64
  /// The SHA-256 of what the recipe says of the arm.
  public var recipe: String?
  /// What the attacker had to train on.
  public var preparation: Preparation
  /// Critic steps before the first generator step.
  public var warmUpSteps: Int
  /// In the order of steps; one alone where nothing is retrained.
  public var measurements: [Measurement]

  /// What preparation left of the collected photos.
  public struct Preparation: Codable, Equatable, Sendable {
    /// All photos that were collected.
    public var photos: Int
    /// Photos with at least one crop of a true face, and without any.
    public var kept: Int, lost: Int
    /// All crops, and those that are no true face.
    public var crops: Int, junk: Int
    /// Over crops; nil where boxes were not looked for, or found.
    public var meanIoU: Double?
  }

  /// The generator G' after some steps, on each judged face x and its protected copy x' with one edit: y = G(x) is what was before,
  /// z = G'(x), z' = G'(x').
  public struct Measurement: Codable, Equatable, Sendable {
    /// How many generator steps of retraining went before.
    public var step: Int
    /// Squared differences within the edit's mask (method section 5), face by face; nil where the edit changes nothing.
    /// `own`: z' and z in z's mask; `cross`: z' and y in y's; `drift`: z and y in y's.
    public var own: [Double?], cross: [Double?], drift: [Double?]
    /// Structural similarity of z' and z.
    public var ssim: [Double]
    /// Whether a classifier finds what was asked for in z and in z'; nil where it does not know the attribute.
    public var cleanSuccess: [Bool?], protectedSuccess: [Bool?]
    /// The LPIPS distance of z' and z, edit by edit; nil where the recipe does not ask.
    public var lpips: [Double]?
    /// The Frechet inception distance of all z' and all z; nil where the recipe does not ask.
    public var fid: Double?
  }
}
