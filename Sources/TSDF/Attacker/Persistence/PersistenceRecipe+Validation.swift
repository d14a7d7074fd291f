import Networks

extension PersistenceRecipe {
  /// Refuses what cannot be run.
  public func validate() throws(RecipeError) {
    guard generatorNames.contains(model) else {
      throw RecipeError("model", "is \(model); there are \(generatorNames.joined(separator: ", "))")
    }
    try requireField("size", size, 64...8192)
    for (field, value, least) in [
      ("firstCollected", firstCollected, 0), ("collected", collected, 1), ("holdOut", holdOut, 1),
      ("judged", judged, 2), ("batch", batch, 1), ("criticSteps", criticSteps, 1), ("warmUpSteps", warmUpSteps, 0),
      ("discriminatorWidth", discriminatorWidth, 1),
    ] {
      try requireField(field, value, least...1_000_000)
    }
    try requireField("discriminatorLayers", discriminatorLayers, 1...12)
    try requireField("learningRate", learningRate, 0...1)
    guard epsilon > 0, epsilon <= 1 else {
      throw RecipeError("epsilon", "must be above 0 and at most 1, not \(epsilon)")
    }
    guard judged <= holdOut else { throw RecipeError("judged", "must be at most the \(holdOut) that are held out") }
    guard !seeds.isEmpty, Set(seeds).count == seeds.count else {
      throw RecipeError("seeds", "must be different numbers, at least one")
    }
    guard steps.first == 0, zip(steps, steps.dropFirst()).allSatisfy({ $0 < $1 }), steps.last! <= 1_000_000 else {
      throw RecipeError("steps", "must begin with 0 and ascend")
    }
    for name in metrics ?? [] where !Self.metricNames.contains(where: { $0.rawValue == name }) {
      throw RecipeError(
        "metrics", "has \(name); there are \(Self.metricNames.map(\.rawValue).joined(separator: ", "))")
    }
    guard Set(metrics ?? []).count == (metrics ?? []).count else { throw RecipeError("metrics", "has one twice") }
    try requireNames("defenders", defenders.map(\.name))
    try requireNames("attackers", attackers.map(\.name))
    for defender in defenders {
      guard defender.perturbation == nil || defender.craft == nil else {
        throw RecipeError("defenders", "has \(defender.name) with both a perturbation and a way to craft one")
      }
      guard (0...100_000).contains(defender.refineSteps) else {
        throw RecipeError("defenders", "has \(defender.name) refined \(defender.refineSteps) steps; 0 to 100000 can be")
      }
      guard defender.craft?.method != .pgd else {
        throw RecipeError("defenders", "has \(defender.name) by PGD, which has no universal part: refine instead")
      }
      try defender.craft?.validate()
      guard defender.craft == nil || firstCollected > 0 else {
        throw RecipeError(
          "firstCollected", "is 0: \(defender.name) crafts on the faces before those that are collected")
      }
      try requireKnown(
        "defenders", defender.name, defender.refineDetectors + (defender.craft?.detectors ?? []), detectorNames)
    }
    for attacker in attackers { try validate(attacker) }
  }

  private func validate(_ attacker: Attacker) throws(RecipeError) {
    /// What may be done to pictures; nil where nothing is said.
    func purification(_ text: String?) throws(RecipeError) -> PurificationRecipe? {
      do {
        return try text.map { try PurificationRecipe($0) }
      } catch {
        throw RecipeError("attackers", "has \(attacker.name): \(error)")
      }
    }
    _ = try purification(attacker.purify)
    guard try purification(attacker.detectThrough)?.learnsFromOthers != true else {
      throw RecipeError(
        "attackers", "has \(attacker.name) whose detectors are to see photos without what they have in common")
    }
    for name in attacker.augment where !augmentationNames.contains(name) {
      throw RecipeError(
        "attackers", "has \(attacker.name) with \(name); there are \(augmentationNames.joined(separator: ", "))")
    }
    guard (0...1).contains(attacker.cleanShare), (0...4096).contains(attacker.rank) else {
      throw RecipeError(
        "attackers", "has \(attacker.name) with a clean share outside 0 to 1 or a rank outside 0 to 4096")
    }
    guard attacker.detectThrough == nil || !attacker.detectors.isEmpty else {
      throw RecipeError("attackers", "has \(attacker.name) with something to detect through, but no detectors")
    }
    guard !attacker.isPaired || attacker.detectors.isEmpty else {
      throw RecipeError("attackers", "has \(attacker.name) who is paired and uses detectors: pairs are of all photos")
    }
    try requireKnown("attackers", attacker.name, attacker.detectors, finderNames)
    guard attacker.retrains || (attacker.augment.isEmpty && !attacker.isPaired && attacker.rank == 0) else {
      throw RecipeError("attackers", "has \(attacker.name) who does not retrain, but how he would is said")
    }
  }

  /// Refuses detectors that whoever is of a name cannot have.
  private func requireKnown(_ field: String, _ name: String, _ detectors: [String], _ known: [String])
    throws(RecipeError)
  {
    for detector in detectors where !known.contains(detector) {
      throw RecipeError(field, "has \(name) with the detector \(detector); there are \(known.joined(separator: ", "))")
    }
  }

  private func requireNames(_ field: String, _ names: [String]) throws(RecipeError) {
    guard !names.isEmpty else { throw RecipeError(field, "is empty") }
    guard !names.contains(where: { folderName($0).isEmpty }) else {
      throw RecipeError(field, "needs a name with a letter or digit for each")
    }
    guard Set(names.map(folderName)).count == names.count else { throw RecipeError(field, "has one name twice") }
  }
}

/// A name as a folder's: letters and digits in lower case, anything else a dash.
func folderName(_ name: String) -> String {
  name.lowercased().split { !($0.isASCII && ($0.isLetter || $0.isNumber)) }.joined(separator: "-")
}
