/// What pictures on their way through the world meet, none of it aimed at a perturbation, as a `PurificationRecipe` is written: the
/// probes of robustness.
public let robustnessProbes = [
  "jpeg:90@photo", "jpeg:70@photo", "blur:1@photo", "blur:3@photo", "noise:0.01@photo", "noise:0.03@photo",
  "salt:0.01@photo",
]

extension [VariantReport] {
  /// With the robustness of each plain report's generators, from those of the same variant after the probes.
  public func withRobustness() -> [VariantReport] {
    map { report in
      guard report.attack == nil else { return report }
      let probes = robustnessProbes.compactMap { probe in
        first { $0.variant == report.variant && $0.attack == probe }
      }
      guard probes.count == robustnessProbes.count else { return report }
      var report = report
      for index in report.generators.indices {
        let before = report.generators[index].l2Mask
        guard before > 0 else { continue }
        let kept = probes.map { Swift.min(1, $0.generators[index].l2Mask / before) }
        report.generators[index].robustness = kept.reduce(0, +) / Double(kept.count)
      }
      return report
    }
  }
}
