import Foundation
import Kernels
import Networks
import TSDF

/// Under which conditions an evaluation's figures arise: what its report says of itself, and what its shards must have in common.
struct EvaluationConditions: Codable, Equatable {
  var tsdf = tsdfVersion
  var data: String
  var holdOut: Int, size: Int, seed: UInt64
  var region: ProtectedRegion
  /// The SHA-256 of each perturbation's file, by its name.
  var perturbations: [String: String]
  /// The SHA-256 of all else that figures follow from: the models' files, how perturbations are refined.
  var settings: String
}

extension EvaluateCommand {
  private struct Settings: Encodable {
    var models: [String], refine: Int, refineGenerators: [String]?, refineDetectors: [String]
    var protection: ProtectionSettings, goal: String, views: [String], purifiers: [String]
    var metrics: [String], inception: String?
  }

  /// - Parameter perturbations: the SHA-256 of each perturbation's file, by its name.
  func conditions(perturbations: [String: String]) throws -> EvaluationConditions {
    func digests(_ generators: [String]) throws -> [String] {
      try generators.map { try fileDigest(generatorFile($0).url) }
    }
    func detectorDigests(_ names: String) throws -> [String] {
      try items(of: names).map { try fileDigest(finderFile($0, in: models.directory)) }
    }
    var protection = ProtectionSettings()
    try refinement.apply(to: &protection)
    let settings = Settings(
      models: try digests(generatorOptions.generators.map(items(of:)) ?? generatorNames) + detectorDigests(detectors),
      refine: refine, refineGenerators: refine > 0 ? try refineGenerators.map { try digests(items(of: $0)) } : nil,
      refineDetectors: refine > 0 ? try detectorDigests(refineDetectors) : [], protection: protection,
      goal: refinement.detectorGoal.rawValue, views: try refinement.viewIdentities(),
      purifiers: try purifiers.recipes().map { try $0.identity(denoiser: purifiers.denoiser) },
      metrics: metrics.map(items(of:)) ?? [], inception: try inception.map { try fileDigest(URL(fileURLWithPath: $0)) })
    return EvaluationConditions(
      data: data ?? "", holdOut: holdOut, size: size, seed: seed, region: region, perturbations: perturbations,
      settings: sha256(Data(try canonicalJSON(settings).utf8)).hexadecimal)
  }
}
