import Foundation
import Kernels
import Networks
import Pictures

/// Photos as a defender leaves them.
struct ProtectedPhotos {
  /// What the attacker collects, and what he is judged on.
  var collected: [Image], judged: [Image]
}

extension PersistenceExperiment {
  private struct ProtectionKey: Encodable {
    var defender: PersistenceRecipe.Defender
    var perturbation: String?, classifier: String?, denoiser: String?
    /// Of the photos, and of the faces that are crafted on.
    var photos: String, crafted: String?
    var generators: [String: String], size: Int, epsilon: Float, first: Int, collected: Int, holdOut: Int, judged: Int
  }

  /// Protects the photos, or reads what was protected before.
  func protected(by defender: PersistenceRecipe.Defender) throws -> ProtectedPhotos {
    if defender.isNone { return ProtectedPhotos(collected: try collectedPhotos(), judged: try judgedPhotos()) }
    let files = (defender.craft?.generators ?? []) + (defender.refineSteps > 0 ? defender.refineGenerators : [])
    let isInterrupting = defender.refineSteps > 0 && !defender.refineGenerators.isEmpty
    let stage = try Stage(
      folder.appendingPathComponent("defenders/\(folderName(defender.name))"),
      key: ProtectionKey(
        defender: defender, perturbation: try defender.perturbation.map(digest),
        classifier: isInterrupting ? digest(recipe.classifier) : nil,
        denoiser: isInterrupting ? digest(Denoiser.adversarial) : nil,
        photos: originalsDigest(),
        crafted: defender.craft.map(craftingDigest),
        generators: try Dictionary(uniqueKeysWithValues: Set(files).map { ($0, try generatorDigest($0)) }),
        size: recipe.size, epsilon: recipe.epsilon, first: recipe.firstCollected, collected: recipe.collected,
        holdOut: recipe.holdOut, judged: recipe.judged))
    let photos = (try collectedPhotos(), try judgedPhotos())
    var protector: Protector?
    func protected(_ photos: [Image], _ part: String) throws -> [Image] {
      func name(_ index: Int) -> String { String(format: "\(part)/%05d.png", index) }
      var missing = photos.indices.filter { !stage.exists(name($0)) }[...]
      while !missing.isEmpty {
        try checkStop()
        if protector == nil { protector = try self.protector(defender, stage) }
        note("\(defender.name): protecting \(part) \(missing.first! + 1)/\(photos.count)")
        let next = missing.prefix(protector!.batch)
        for (index, result) in zip(next, try protector!.protect(next.map { photos[$0] })) {
          try writeAtomically(encodePNG(result.image), to: stage.url(name(index)))
        }
        missing.removeFirst(next.count)
      }
      return try photos.indices.map { try ImageFile(contentsOf: stage.url(name($0))).image }
    }
    return ProtectedPhotos(
      collected: try protected(photos.0, "collected"), judged: try protected(photos.1, "judged"))
  }

  /// The SHA-256 of the file of a generator that a recipe names, or its name where that is all there is.
  private func generatorDigest(_ item: String) throws -> String {
    try digest(
      generatorNames.contains(item) ? "weights/\(item).safetensors" : String(item.split(separator: "=").last ?? ""))
  }

  private func protector(_ defender: PersistenceRecipe.Defender, _ stage: Stage) throws -> Protector {
    let universal: Tensor
    if let path = defender.perturbation {
      universal = try loadPerturbation(models.locate(path), on: device).perturbation
    } else if defender.craft != nil {
      universal = try crafted(defender, stage)
    } else {
      universal = try Tensor(repeating: 0, shape: [1, 3, recipe.size, recipe.size], device: device)
    }
    var settings = ProtectionSettings()
    (settings.region, settings.epsilon, settings.refineSteps) = (.image, recipe.epsilon, defender.refineSteps)
    settings.smoothShare = defender.level.smoothShare
    let refiner =
      defender.refineSteps > 0
      ? try Refiner(
        generators: defender.refineGenerators.map { try models.generator($0, device) },
        detectors: defender.refineDetectors.map { try models.detector($0, device) },
        classifier: defender.refineGenerators.isEmpty ? nil : loadJudge().classifier,
        denoiser: models.locate(Denoiser.adversarial), device: device) : nil
    return try Protector(
      perturbation: universal, settings: settings, detectors: [], refiner: refiner, device: device)
  }

  /// Crafts a defender's perturbation, going on from its checkpoint.
  private func crafted(_ defender: PersistenceRecipe.Defender, _ stage: Stage) throws -> Tensor {
    let (target, checkpoint) = (stage.url("perturbation.safetensors"), stage.url("perturbation.checkpoint"))
    if !stage.exists("perturbation.safetensors") {
      var craft = defender.craft!
      craft.epsilon = recipe.epsilon
      let crafter = try Crafter(
        craft, faces: craftingFaces(craft),
        generators: craft.method.generators == .none ? [] : craft.generators.map { try models.generator($0, device) },
        detectors: craft.method.detectors == .none ? [] : craft.detectors.map { try models.detector($0, device) },
        device: device)
      if stage.exists("perturbation.checkpoint") { try crafter.restore(from: checkpoint) }
      while crafter.step < crafter.stepCount {
        try crafter.craftStep()
        note("\(defender.name): crafting, batch \(crafter.step)/\(crafter.stepCount)")
        if crafter.step % 10 == 0 || shouldStop() { try crafter.writeCheckpoint(to: checkpoint) }
        try checkStop()
      }
      try crafter.write(to: target)
    }
    try? FileManager.default.removeItem(at: checkpoint)
    return try loadPerturbation(target, on: device).perturbation
  }
}
