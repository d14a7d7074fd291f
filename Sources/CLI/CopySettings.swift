import Foundation
import Kernels
import Networks
import TSDF

/// All that copies follow from besides their sources, as it is meant: a default is the same spelled out, models are the contents of
/// their files wherever these lie, and what has no effect is left out.
struct CopySettings: Encodable {
  /// Raised when the same settings come to give other copies, so that those of earlier versions are made anew.
  private var code = 9
  private var protection: ProtectionSettings
  private var format: String, quality: Int?, isMarking: Bool
  /// Names and digests, in the order that they were given in.
  private var detectors: [[String]] = [], generators: [[String]] = []
  private var goal: String?, views: [String]?

  init(_ command: ProtectCommand, _ settings: ProtectionSettings) throws {
    let isRefined = settings.refineSteps > 0
    let unused = ProtectionSettings()
    protection = settings
    if !isRefined {
      (protection.start, protection.smoothShare, protection.seed) = (unused.start, unused.smoothShare, unused.seed)
    }
    protection.extent = settings.changedExtent
    if settings.region == .image {
      (protection.margin, protection.extent) = (unused.margin, unused.extent)
      if !isRefined { protection.longestSide = unused.longestSide }
    }
    format = command.format.rawValue
    quality = command.format == .png ? nil : command.quality
    isMarking = command.mark
    let used = isRefined || settings.region == .faces ? items(of: command.detectors) : []
    detectors = try used.map { [$0, try fileDigest(finderFile($0, in: command.models.directory))] }
    guard isRefined else { return }
    let chosen = command.generatorOptions.generators.map(items(of:)) ?? Protector.defaultGenerators
    generators = try chosen.map { [try fileDigest(generatorFile($0).url)] }
    goal = command.refinement.detectorGoal.rawValue
    views = try command.refinement.viewIdentities()
  }

  /// The SHA-256 of the settings.
  var digest: String {
    get throws { sha256(Data(try canonicalJSON(self).utf8)).hexadecimal }
  }
}
