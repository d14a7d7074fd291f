extension TrainingRecipe {
  /// Refuses what no run can do: numbers out of range, NaN. The upper ends are beyond what any device holds, and below what
  /// the counts made of them could overflow at: layers double their channels.
  public func validate() throws(RecipeError) {
    try requireField("imageSize", imageSize, 8...2048)
    guard imageSize % 4 == 0 else { throw RecipeError("imageSize", "must be a multiple of 4, not \(imageSize)") }
    for (field, value) in [("width", width), ("discriminatorWidth", discriminatorWidth), ("hiddenCount", hiddenCount)] {
      try requireField(field, value, 1...65536)
    }
    try requireField("blocks", blocks, 1...64)
    try requireField("discriminatorLayers", discriminatorLayers, 1...12)
    try requireField("criticSteps", criticSteps, 1...1000)
    for (field, value, least) in [
      ("batch", batch, 1), ("steps", steps, 1), ("decaySteps", decaySteps, 0), ("holdOut", holdOut, 1),
    ] {
      try requireField(field, value, least...1_000_000_000)
    }
    if let accumulate { try requireField("accumulate", accumulate, 1...batch) }
    for name in augment ?? [] where !augmentationNames.contains(name) {
      throw RecipeError("augment", "names \(name); there are \(augmentationNames.joined(separator: ", "))")
    }
    try retraining?.validate()
    for (field, rate) in [("learningRate", learningRate), ("mapperLearningRate", mapperLearningRate)] {
      try requireField(field, rate, 0...1)
    }
    for (field, beta) in [("beta1", beta1), ("beta2", beta2), ("averaging", averaging ?? 0)]
    where !(beta >= 0 && beta < 1) {
      throw RecipeError(field, "must be at least 0 and below 1, not \(beta)")
    }
    for (field, weight) in [
      ("classificationWeight", classificationWeight), ("criticClassificationWeight", criticClassificationWeight),
      ("reconstructionWeight", reconstructionWeight), ("penaltyWeight", penaltyWeight), ("styleWeight", styleWeight),
    ] {
      try requireField(field, weight, 0...1e6)
    }
  }
}
