/// What one attacker makes of one defender's photos with one seed.
public struct PersistenceResult: Codable, Equatable, Sendable {
  public var defender: String, attacker: String
  public var seed: UInt64
  public var preparation: Preparation
  /// Critic steps before the first generator step.
  public var warmUpSteps: Int
  /// In the order of steps; one alone where nothing is retrained.
  public var measurements: [Measurement]

  /// What preparation left of the collected photos.
  public struct Preparation: Codable, Equatable, Sendable {
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
    public var step: Int
    /// Squared differences within the edit's mask (method section 5), face by face; nil where the edit changes nothing.
    /// `own`: z' and z in z's mask; `cross`: z' and y in y's; `drift`: z and y in y's.
    public var own: [Double?], cross: [Double?], drift: [Double?]
    /// Structural similarity of z' and z.
    public var ssim: [Double]
    /// Whether a classifier finds what was asked for in z and in z'; nil where it does not know the attribute.
    public var cleanSuccess: [Bool?], protectedSuccess: [Bool?]
    /// The LPIPS distance of z' and z, and the Frechet inception distance of all z' and all z; nil where the recipe does not ask.
    public var lpips: [Double]?
    public var fid: Double?
  }
}
