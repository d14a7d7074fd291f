import ArgumentParser
import Foundation
import Kernels
import Networks
import TSDF

extension EvaluateCommand {
  private func generatorsToRefine(_ judged: [(name: String, generator: any Generator)], on device: any Device) throws
    -> [any Generator]
  {
    if let refineGenerators {
      return try GeneratorOptions.load(items(of: refineGenerators), on: device).map(\.generator)
    }
    let breakable = judged.map(\.generator).filter { Protector.defaultGenerators.contains(type(of: $0).name) }
    return breakable.isEmpty ? judged.map(\.generator) : breakable
  }

  /// What is judged, and the SHA-256 of each perturbation's file.
  func variants(_ generators: [(name: String, generator: any Generator)], on device: any Device) throws -> (
    [ProtectionVariant], hashes: [String: String]
  ) {
    let targets = try models.loadDetectors(refineDetectors, on: device).map(\.detector)
    let refined = refine > 0 ? try generatorsToRefine(generators, on: device) : []
    let refiner =
      refine > 0
      ? try refinement.refiner(generators: refined, detectors: targets, on: device) : nil
    func variant(_ name: String, _ perturbation: Tensor, _ epsilon: Float, steps: Int = 0) throws -> ProtectionVariant {
      var settings = ProtectionSettings()
      (settings.region, settings.epsilon, settings.refineSteps, settings.seed) = (region, epsilon, steps, seed)
      try refinement.apply(to: &settings)
      return .protector(
        try Protector(
          perturbation: perturbation, settings: settings, detectors: targets, refiner: steps > 0 ? refiner : nil,
          device: device), name: name)
    }
    var variants: [ProtectionVariant] = clean ? [.none] : []
    var hashes: [String: String] = [:]
    let paths = perturbation.isEmpty ? ["weights/perturbation.safetensors"] : perturbation
    for (index, path) in paths.enumerated() {
      let url = locate(path)
      let (universal, epsilon, recipe) = try loadPerturbation(url, on: device)
      let name = url.deletingPathExtension().lastPathComponent
      hashes[name] = try fileDigest(url)
      if index == 0, noise {
        var random = RandomStream(seed: seed)
        let values = try random.uniform(universal.shape, in: -epsilon..<epsilon, device: device)
        variants.append(try variant("noise", values, epsilon))
      }
      if let recipe, recipe.method == .pgd {
        guard region == .image else {
          throw ValidationError("\(path) is PGD's, which perturbs aligned faces: --region image")
        }
        let pgd = ImagePGD(generators: generators.map(\.generator), recipe: recipe, device: device)
        variants.append(
          .pgd(pgd, name: name, steps: recipe.imageSteps, epsilon: epsilon, seed: seed, on: device))
      } else {
        variants.append(try variant(name, universal, epsilon))
        // An item is a model, or MODEL=FILE.
        let targets = recipe.map { Set($0.generators.map { String($0.prefix { $0 != "=" }) }) }
        variants[variants.count - 1].targets = targets
        if index == paths.count - 1, refine > 0 {
          variants.append(try variant("\(name) + \(refine) steps", universal, epsilon, steps: refine))
          variants[variants.count - 1].targets = targets?.union(refined.map { type(of: $0).name })
        }
      }
    }
    return (variants, hashes)
  }
}
