/// What is left of each defender's protection against each attacker, over faces and seeds.
public struct PersistenceSummary: Codable, Equatable, Sendable {
  /// One for each defender, attacker and step.
  public var rows: [Row]

  /// One defender and attacker after so many retraining steps.
  public struct Row: Codable, Equatable, Sendable {
    /// The defender's name, and the attacker's.
    public var defender: String, attacker: String
    /// How many generator steps of retraining went before.
    public var step: Int
    /// How many seeds were measured.
    public var seeds: Int
    /// L2mask and SR_mask (method section 5) of the retrained generator's edits of protected faces, against its own edits of the
    /// originals.
    public var own: Estimate?, ownRate: Estimate?
    /// The same against the edits of the originals before retraining. It counts only as far as it exceeds `drift`.
    public var cross: Estimate?, crossRate: Estimate?
    /// L2mask of the retrained generator's edits of the originals, against those before retraining.
    public var drift: Estimate?
    /// The structural similarity of the retrained generator's edits of originals and of protected faces.
    public var ssim: Estimate?
    /// How often a classifier finds what was asked for in edits of originals and of protected faces.
    public var cleanSuccess: Estimate?, protectedSuccess: Estimate?
    /// The LPIPS distance of the same edits; nil where the recipe does not ask.
    public var lpips: Estimate?
    /// Their Frechet inception distance, a mean over seeds; nil where the recipe does not ask.
    public var fid: Double?
    /// What preparation left, as means over seeds: the shares of photos that were kept and lost, and of crops that are no face.
    public var kept: Double, lost: Double, junk: Double
    /// How many crops it made, a mean over seeds.
    public var crops: Double
    /// How well crops fit true faces, a mean over crops, then over seeds; nil where boxes were not looked for, or found.
    public var meanIoU: Double?
  }

  /// Sums up results.
  /// - Parameter results: of all arms, in order.
  public init(_ results: [PersistenceResult]) {
    rows = []
    var groups: [(key: [String], results: [PersistenceResult])] = []
    for result in results {
      let key = [result.defender, result.attacker]
      if let index = groups.firstIndex(where: { $0.key == key }) {
        groups[index].results.append(result)
      } else {
        groups.append((key, [result]))
      }
    }
    for (key, results) in groups {
      for step in results[0].measurements.map(\.step) {
        let measured = results.compactMap { $0.measurements.first { $0.step == step } }
        func values(_ path: KeyPath<PersistenceResult.Measurement, [Double?]>) -> [[Double?]] {
          measured.map { $0[keyPath: path] }
        }
        func shares(_ values: [[Double?]]) -> [[Double?]] {
          values.map { $0.map { $0.map { $0 > brokenEdit ? 1 : 0 } } }
        }
        func successes(_ path: KeyPath<PersistenceResult.Measurement, [Bool?]>) -> Estimate? {
          bootstrap(measured.map { $0[keyPath: path].map { $0.map { $0 ? 1 : 0 } } })
        }
        func mean(_ value: (PersistenceResult.Preparation) -> Double) -> Double {
          results.reduce(0) { $0 + value($1.preparation) } / Double(results.count)
        }
        let distances = measured.compactMap(\.fid)
        let overlaps = results.compactMap(\.preparation.meanIoU)
        rows.append(
          Row(
            defender: key[0], attacker: key[1], step: step, seeds: measured.count, own: bootstrap(values(\.own)),
            ownRate: bootstrap(shares(values(\.own))), cross: bootstrap(values(\.cross)),
            crossRate: bootstrap(shares(values(\.cross))), drift: bootstrap(values(\.drift)),
            ssim: bootstrap(measured.map { $0.ssim }), cleanSuccess: successes(\.cleanSuccess),
            protectedSuccess: successes(\.protectedSuccess), lpips: bootstrap(measured.compactMap(\.lpips)),
            fid: distances.isEmpty ? nil : distances.reduce(0, +) / Double(distances.count),
            kept: mean { Double($0.kept) / Double($0.photos) },
            lost: mean { Double($0.lost) / Double($0.photos) },
            junk: mean { Double($0.junk) / Double(max(1, $0.crops)) }, crops: mean { Double($0.crops) },
            meanIoU: overlaps.isEmpty ? nil : overlaps.reduce(0, +) / Double(overlaps.count)))
      }
    }
  }
}
