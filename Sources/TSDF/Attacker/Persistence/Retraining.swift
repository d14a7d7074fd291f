import Foundation
import Kernels
import Networks
import Pictures

extension PersistenceExperiment {
  private struct ArmKey: Encodable {
    var defender: PersistenceRecipe.Defender, attacker: PersistenceRecipe.Attacker
    var seed: UInt64
    var recipe: PersistenceRecipe
    var files: [String: String]
    /// Of photos as they are protected and as they were, and of public faces where some are mixed in.
    var protection: String, originals: String, labels: String, clean: String?
  }

  /// Runs an arm, or what is left of it.
  /// - Throws: `Stopped` where it is asked to stop, with all that it did on disk.
  public func run(_ arm: PersistenceArm) throws -> PersistenceResult {
    let photos = try protected(by: arm.defender)
    var files = [recipe.generator, recipe.classifier] + (recipe.critic.map { [$0] } ?? [])
    for text in [arm.attacker.purify, arm.attacker.detectThrough].compactMap({ $0 }) {
      for case .denoiser(let path) in try PurificationRecipe(text).steps.map(\.kind) {
        files.append(path ?? Denoiser.shipped)
      }
    }
    let stage = try Stage(
      folder.appendingPathComponent(arm.path),
      key: ArmKey(
        defender: arm.defender, attacker: arm.attacker, seed: arm.seed, recipe: recipe.shared,
        files: try Dictionary(
          uniqueKeysWithValues: Set(files).map { ($0, try digest($0)) }
            + Set(recipe.judgingNetworks).map { ($0.weights, try digest($0)) }),
        protection: digest(of: photos.collected + photos.judged),
        originals: originalsDigest(), labels: "\(attributes) \(collectedLabels)",
        clean: arm.attacker.cleanShare > 0 ? cleanDigest() : nil))
    if let done = try? JSONDecoder.withAllNumbers().decode(
      PersistenceResult.self, from: Data(contentsOf: stage.url(PersistenceArm.resultName)))
    {
      return done
    }
    try checkStop()
    let crops = try prepared(photos.collected, arm)
    var result = PersistenceResult(
      defender: arm.defender.name, attacker: arm.attacker.name, seed: arm.seed, recipe: try recipe.digest(of: arm),
      preparation: crops.summary,
      warmUpSteps: 0, measurements: [])
    if arm.attacker.retrains, !crops.images.isEmpty {
      try retrain(arm, crops, photos.judged, stage, &result)
    } else {
      let generator = try loadGenerator(models.locate(recipe.generator), named: recipe.model, on: device)
      try measure(generator, arm, photos.judged, step: 0, &result)
      try show(generator, arm, photos.judged, stage)
    }
    try writeAtomically(Data((try canonicalJSON(result) + "\n").utf8), to: stage.url(PersistenceArm.resultName))
    for name in ["checkpoint.safetensors", "measurements.json"] {
      try? FileManager.default.removeItem(at: stage.url(name))
    }
    return result
  }

  private func attack(_ arm: PersistenceArm) throws -> Purification? { try purification(arm.attacker.purify) }

  /// What a recipe's text says, ready to run.
  func purification(_ text: String?) throws -> Purification? {
    try text.map {
      try Purification(PurificationRecipe($0), denoiser: models.locate(Denoiser.shipped), on: device)
    }
  }

  private func show(_ generator: any Generator, _ arm: PersistenceArm, _ protected: [Image], _ stage: Stage) throws {
    let strip = try loadJudge().strip(generator, protected: protected, attack: attack(arm), seed: arm.seed)
    try writeAtomically(encodePNG(strip), to: stage.url(PersistenceArm.stripName))
  }

  private func measure(
    _ generator: any Generator, _ arm: PersistenceArm, _ protected: [Image], step: Int,
    _ result: inout PersistenceResult
  ) throws {
    result.measurements.append(
      try loadJudge().measure(generator, protected: protected, attack: attack(arm), seed: arm.seed, step: step))
  }

  // MARK: Retraining

  private func retrain(
    _ arm: PersistenceArm, _ crops: PreparedCrops, _ judged: [Image], _ stage: Stage, _ result: inout PersistenceResult
  ) throws {
    let trainer = try trainer(arm, crops)
    let (checkpoint, measured) = (stage.url("checkpoint.safetensors"), stage.url("measurements.json"))
    if stage.exists("checkpoint.safetensors") {
      try trainer.restore(from: checkpoint)
      let all = try JSONDecoder.withAllNumbers().decode(
        [PersistenceResult.Measurement].self, from: Data(contentsOf: measured))
      result.measurements = all.filter { $0.step <= trainer.step }
    }
    let log = try LossLog(stage.url("losses.jsonl"), step: trainer.step, warmUpStep: trainer.warmUpStep)
    result.warmUpSteps = trainer.warmUpStep + max(0, trainer.warmUpStepsLeft)
    var divergence = DivergenceCheck(limit: 1000)
    /// Judges where that is due, then writes the state: what a stopped run had judged after its checkpoint is judged again.
    func settle(force: Bool = false) throws {
      let isDue =
        trainer.warmUpStepsLeft <= 0 && recipe.steps.contains(trainer.step)
        && result.measurements.last?.step != trainer.step
      if isDue {
        try measure(trainer.generator, arm, judged, step: trainer.step, &result)
        try writeAtomically(Data(try canonicalJSON(result.measurements).utf8), to: measured)
      }
      guard isDue || force else { return }
      if !FileManager.default.fileExists(atPath: measured.path) { try writeAtomically(Data("[]".utf8), to: measured) }
      try trainer.writeCheckpoint(to: checkpoint)
    }
    try settle()
    while trainer.step < recipe.steps.last! {
      let isWarmingUp = trainer.warmUpStepsLeft > 0
      // Often enough to see that training diverges before it is judged, seldom enough not to wait for the device each time.
      let reports =
        trainer.step % 5 == 4 || recipe.steps.contains(trainer.step + 1)
        || (isWarmingUp && trainer.warmUpStepsLeft == 1)
      if let losses = try trainer.trainStep(reporting: reports) {
        if let complaint = divergence.complaint(losses) {
          throw FileError(stage.folder.path, "training diverged at step \(trainer.step): \(complaint)")
        }
        try log.add(step: trainer.step, warmUpStep: isWarmingUp ? trainer.warmUpStep : nil, losses)
      }
      note(
        "\(arm.defender.name), \(arm.attacker.name), seed \(arm.seed): "
          + (isWarmingUp ? "critic step \(trainer.warmUpStep)" : "step \(trainer.step)/\(recipe.steps.last!)"))
      try settle(force: shouldStop())
      try checkStop()
    }
    try show(trainer.generator, arm, judged, stage)
  }

  private func trainer(_ arm: PersistenceArm, _ crops: PreparedCrops) throws -> Trainer {
    let start = try TrainingStart(
      .init(generator: models.locate(recipe.generator), critic: recipe.critic.map(models.locate)), named: recipe.model,
      on: device)
    var training = try TrainingRecipe(defaultsOf: recipe.model)
    (training.batch, training.criticSteps, training.seed) = (recipe.batch, recipe.criticSteps, arm.seed)
    (training.learningRate, training.steps, training.decaySteps) = (recipe.learningRate, recipe.steps.last!, 0)
    (training.discriminatorWidth, training.discriminatorLayers) = (
      recipe.discriminatorWidth, recipe.discriminatorLayers
    )
    training.augment = arm.attacker.augment.isEmpty ? nil : arm.attacker.augment
    var retraining = RetrainingRecipe()
    (retraining.warmUpSteps, retraining.cleanShare) = (recipe.warmUpSteps, arm.attacker.cleanShare)
    (retraining.isPaired, retraining.rank) = (arm.attacker.isPaired, arm.attacker.rank)
    training.retraining = retraining
    let (side, labels) = (try start.imageSize, start.attributes ?? attributes)
    return try Trainer(
      training, from: start,
      data: TrainingData(
        faces(crops.images, crops.labels, size: side, labels: labels),
        clean: arm.attacker.cleanShare > 0 ? try cleanFaces(size: side, labels: labels) : nil,
        cleanShare: arm.attacker.cleanShare,
        originals: arm.attacker.isPaired
          ? try faces(collectedPhotos(), collectedLabels, size: side, labels: labels) : nil), device: device)
  }
}
