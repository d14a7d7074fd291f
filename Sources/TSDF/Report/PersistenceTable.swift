import Foundation

/// A persistence experiment as tables: CSV, and Markdown for people.
package enum PersistenceTable: Sendable {
  /// A line a row of the summary, comma-separated, with a header; an estimate takes four columns.
  package static func csv(_ summary: PersistenceSummary) -> String {
    let estimates = [
      "own_l2mask", "own_sr_mask", "cross_l2mask", "cross_sr_mask", "drift_l2mask", "ssim", "clean_success",
      "protected_success", "lpips",
    ]
    var lines = [
      "defender,attacker,step,seeds,"
        + estimates.flatMap { [$0, "\($0)_low", "\($0)_high", "\($0)_n"] }.joined(separator: ",")
        + ",fid,photos_kept,photos_lost,crops,crops_junk,iou"
    ]
    for row in summary.rows {
      let values = [
        row.own, row.ownRate, row.cross, row.crossRate, row.drift, row.ssim, row.cleanSuccess, row.protectedSuccess,
        row.lpips,
      ]
      let columns = values.flatMap { estimate -> [String] in
        guard let estimate else { return ["", "", "", "0"] }
        return [estimate.mean, estimate.low, estimate.high].map { number($0, 4) } + ["\(estimate.count)"]
      }
      lines.append(
        ([quoted(row.defender), quoted(row.attacker), "\(row.step)", "\(row.seeds)"] + columns
          + [
            row.fid.map { number($0, 2) } ?? "", number(row.kept, 3), number(row.lost, 3), number(row.crops, 1),
            number(row.junk, 3),
          ]
          + [row.meanIoU.map { number($0, 3) } ?? ""]).joined(separator: ","))
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// SR_mask (own) after the last step, an attacker a line, a defender a column; then the shares of photos that preparation kept and of
  /// crops that are junk, where not all were kept.
  package static func matrix(_ summary: PersistenceSummary) -> String {
    func names(_ path: KeyPath<PersistenceSummary.Row, String>) -> [String] {
      summary.rows.reduce(into: []) { names, row in
        if !names.contains(row[keyPath: path]) { names.append(row[keyPath: path]) }
      }
    }
    let defenders = names(\.defender)
    func line(_ title: String, _ attacker: String, _ cell: (PersistenceSummary.Row) -> String) -> [String] {
      [title]
        + defenders.map { defender in
          summary.rows.last { $0.attacker == attacker && $0.defender == defender }.map(cell) ?? ""
        }
    }
    var rows = [["share of edits still broken"] + defenders]
    rows.append(rows[0].map { _ in "---" })
    for attacker in names(\.attacker) {
      rows.append(line(attacker, attacker) { text($0.ownRate, 2) })
      guard summary.rows.contains(where: { $0.attacker == attacker && ($0.kept < 1 || $0.junk > 0) }) else { continue }
      rows.append(
        line("... photos kept, junk crops", attacker) {
          "\(number(100 * $0.kept, 0))%, \(number(100 * $0.junk, 0))%"
        })
    }
    return markdown(rows)
  }

  /// One line a defender, attacker and last step.
  package static func text(_ summary: PersistenceSummary) -> String {
    var rows = [
      [
        "defender", "attacker", "photos kept", "step", "L2mask own", "SR_mask own", "L2mask cross", "drift",
        "success clean",
        "success protected",
      ]
    ]
    rows.append(rows[0].map { _ in "---" })
    for (index, row) in summary.rows.enumerated() {
      let next = index + 1 < summary.rows.count ? summary.rows[index + 1] : nil
      if let next, next.defender == row.defender, next.attacker == row.attacker { continue }
      rows.append([
        row.defender, row.attacker, number(100 * row.kept, 0) + "%", "\(row.step)", text(row.own, 3),
        text(row.ownRate, 2),
        text(row.cross, 3), text(row.drift, 3), text(row.cleanSuccess, 2), text(row.protectedSuccess, 2),
      ])
    }
    return markdown(rows)
  }

  private static func markdown(_ rows: [[String]]) -> String {
    rows.map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n") + "\n"
  }

  private static func text(_ estimate: Estimate?, _ digits: Int) -> String {
    guard let estimate else { return "-" }
    return "\(number(estimate.mean, digits)) (\(number(estimate.low, digits)) to \(number(estimate.high, digits)))"
  }

  private static func quoted(_ text: String) -> String {
    "\"" + text.replacingOccurrences(of: "\"", with: "\"\"") + "\""
  }

  private static func number(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }
}
