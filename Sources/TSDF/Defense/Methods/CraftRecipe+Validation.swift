import Networks

extension CraftRecipe {
  /// Refuses what no run can do: numbers out of range, NaN, names that are no model's. The upper ends are far beyond what
  /// any device holds, and below what the counts made of them could overflow at.
  public func validate() throws(RecipeError) {
    try requireField("size", size, 64...8192)
    for (field, value) in [("faces", faces), ("batch", batch), ("holdOut", holdOut)] {
      try requireField(field, value, (field == "holdOut" ? 0 : 1)...1_000_000_000)
    }
    for (field, value, least) in [
      ("passes", passes, 1), ("poisonSteps", poisonSteps, 1), ("imageSteps", imageSteps, 1),
      ("featureSteps", featureSteps, 0),
    ] {
      try requireField(field, value, least...1_000_000)
    }
    try requireField("featureProjection", featureProjection, 0...65536)
    try requireField("compressionQuality", compressionQuality, 1...100)
    try requireField("diversityCanvas", diversityCanvas, 257...1024)
    guard epsilon > 0, epsilon <= 1 else {
      throw RecipeError("epsilon", "must be above 0 and at most 1, not \(epsilon)")
    }
    for (field, value) in [
      ("weightTemperature", weightTemperature), ("enhancementTemperature", enhancementTemperature),
    ] where !(value > 0 && value.isFinite) {
      throw RecipeError(field, "must be positive, not \(value)")
    }
    for (field, share) in [
      ("outputShare", outputShare), ("diversityProbability", diversityProbability),
      ("compressionProbability", compressionProbability), ("weightMemory", weightMemory), ("momentum", momentum),
      ("jointMomentum", jointMomentum),
    ] {
      try requireField(field, share, 0...1)
    }
    for (field, amount) in [
      ("stepSize", stepSize), ("poisonRate", poisonRate), ("poisonBound", poisonBound),
      ("imageStepSize", imageStepSize), ("enhancementWeight", enhancementWeight), ("tau", tau),
      ("enhancementStrength", enhancementStrength), ("beta", beta), ("featureNoise", featureNoise),
      ("outputLossWeight", outputLossWeight), ("invitationWeight", invitationWeight),
      ("interruptionTarget", interruptionTarget),
    ] {
      try requireField(field, amount, 0...1e6)
    }
    for (name, weight) in weights.sorted(by: { $0.key < $1.key }) {
      guard generatorNames.contains(name) || detectorNames.contains(name) else {
        throw RecipeError("weights", "names \(name), which is no generator and no detector")
      }
      try requireField("weights", weight, 0...1e6)
    }
  }
}
