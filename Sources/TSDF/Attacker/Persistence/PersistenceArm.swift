import Foundation
import Kernels

/// A defender, an attacker, a seed.
public struct PersistenceArm: Sendable {
  /// Who protects, and who attacks.
  public let defender: PersistenceRecipe.Defender, attacker: PersistenceRecipe.Attacker
  /// One of the recipe's.
  public let seed: UInt64

  /// Its folder, below the experiment's.
  public var path: String { "arms/\(folderName(defender.name))/\(folderName(attacker.name))/seed-\(seed)" }

  static let resultName = "result.json"
  /// Of what edits look like.
  static let stripName = "strip.png"
}

extension PersistenceRecipe {
  /// All arms, seed by seed, so that the first results are of everything.
  public var arms: [PersistenceArm] {
    seeds.flatMap { seed in
      defenders.flatMap { defender in
        attackers.map { PersistenceArm(defender: defender, attacker: $0, seed: seed) }
      }
    }
  }

  /// What all arms share.
  var shared: PersistenceRecipe {
    var shared = self
    (shared.defenders, shared.attackers, shared.seeds) = ([], [], [])
    return shared
  }

  /// The SHA-256 of what the recipe says of an arm.
  func digest(of arm: PersistenceArm) throws -> String {
    let parts = try [canonicalJSON(shared), canonicalJSON(arm.defender), canonicalJSON(arm.attacker), "\(arm.seed)"]
    return sha256(Data(parts.joined(separator: "\n").utf8)).hexadecimal
  }

  /// What arms came to, as far as they are done. What an earlier run came to with other settings is left out.
  /// - Throws: `FileError` naming a result that is none.
  public func results(in folder: URL) throws -> [PersistenceResult] {
    try arms.compactMap { arm in
      let url = folder.appendingPathComponent("\(arm.path)/\(PersistenceArm.resultName)")
      guard FileManager.default.fileExists(atPath: url.path) else { return nil }
      do {
        let result = try JSONDecoder.withAllNumbers().decode(PersistenceResult.self, from: MappedFile(url).data)
        return try result.recipe == digest(of: arm) ? result : nil
      } catch let error as DecodingError {
        throw FileError(url.path, "is no result of tsdf persist (\(error.localizedDescription)); remove it")
      }
    }
  }
}
