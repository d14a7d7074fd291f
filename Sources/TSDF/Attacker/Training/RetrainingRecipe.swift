/// How an attacker goes on training a generator on what he collected, besides what any training is asked.
public struct RetrainingRecipe: Codable, Equatable, Sendable {
  /// The SHA-256 of the files that training goes on from; no critic where it has to be warmed up.
  public var generator = "", critic: String?
  /// Critic steps against the generator as it is, before the first generator step; only where no critic is given.
  public var warmUpSteps = 100
  /// The share of public clean faces in what is trained on, 0 to 1.
  public var cleanShare: Float = 0
  /// Train on pairs: what the generator made of the clean face is what it shall make of the protected.
  public var isPaired = false
  /// The rank of patches of the convolutions that are trained in place of all parameters; 0 for none.
  public var rank = 0
  /// Parameters whose names begin with one of these are not trained.
  public var freeze: [String] = []

  /// A recipe of the values above, for no files yet.
  public init() {}

  func validate() throws(RecipeError) {
    try requireField("warmUpSteps", warmUpSteps, 0...1_000_000_000)
    try requireField("cleanShare", cleanShare, 0...1)
    try requireField("rank", rank, 0...4096)
  }
}
