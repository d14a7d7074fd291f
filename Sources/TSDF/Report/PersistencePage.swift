import Foundation
import Kernels
import Mustache

/// A persistence experiment as one HTML page that needs nothing else: what is left in a matrix, curves over retraining, examples, how it
/// was made.
package enum PersistencePage: Sendable {
  /// - Parameters:
  ///   - folder: the experiment's, for the arms' example pictures.
  /// - Throws: `FileError` where a picture cannot be read.
  package static func html(_ recipe: PersistenceRecipe, _ summary: PersistenceSummary, folder: URL) throws -> String {
    let attackers = recipe.attackers.map(\.name).filter { name in summary.rows.contains { $0.attacker == name } }
    let defenders = recipe.defenders.map(\.name).filter { name in summary.rows.contains { $0.defender == name } }
    func last(_ defender: String, _ attacker: String) -> PersistenceSummary.Row? {
      summary.rows.last { $0.defender == defender && $0.attacker == attacker }
    }
    let retraining = recipe.attackers.filter { attacker in attacker.retrains && attackers.contains(attacker.name) }
    let page = Page(
      faces: recipe.judged, seeds: recipe.seeds.count,
      seedsNoun: recipe.seeds.count == 1 ? "time" : "times", steps: recipe.steps.last ?? 0, photos: recipe.collected,
      epsilon: String(format: "%g", recipe.epsilon), sentences: sentences(recipe, defenders, last),
      defenders: defenders,
      rows: attackers.map { attacker in
        Page.Row(
          attacker: attacker, cells: defenders.map { Page.Cell(last($0, attacker)) },
          kept: defenders.contains { (last($0, attacker)?.kept ?? 1) < 1 } || recipe.prepares(attacker)
            ? defenders.map { last($0, attacker).map { String(format: "%.0f%%", 100 * $0.kept) } ?? "" } : [])
      },
      charts: retraining.map { attacker in
        Page.Chart(attacker: attacker.name, svg: chart(recipe, summary, attacker.name, defenders).svg)
      },
      strips: try strips(recipe, defenders, folder: folder), table: try tableRows(summary),
      recipe: try jsonText(recipe), version: tsdfVersion)
    return try MustacheTemplate(string: template).render(page)
  }

  // MARK: Parts

  private struct Page {
    var faces: Int, seeds: Int, seedsNoun: String, steps: Int, photos: Int
    var epsilon: String
    var sentences: [String]
    var defenders: [String]
    var rows: [Row]
    var charts: [Chart]
    var strips: [Strip]
    var table: [TableRow]
    var recipe: String, version: String

    struct Row {
      var attacker: String
      var cells: [Cell]
      var kept: [String]
      let hasKeptRow: Bool

      init(attacker: String, cells: [Cell], kept: [String]) {
        (self.attacker, self.cells, self.kept, hasKeptRow) = (attacker, cells, kept, !kept.isEmpty)
      }
    }

    struct Cell {
      var text = "", shade = "0", detail = ""

      init(_ row: PersistenceSummary.Row?) {
        guard let row, let rate = row.ownRate, let error = row.own else { return }
        text = String(format: "%.0f%%", 100 * rate.mean)
        shade = String(format: "%.2f", 0.75 * rate.mean)
        detail = String(
          format: "%.0f%% (%.0f to %.0f) of edits broken; L2mask %.3f (%.3f to %.3f), n = %d", 100 * rate.mean,
          100 * rate.low, 100 * rate.high, error.mean, error.low, error.high, error.count)
      }
    }

    struct Chart { var attacker: String, svg: String }
    struct Strip { var defender: String, attacker: String, image: String }
    struct TableRow { var cells: [String] }
  }

  private static func chart(
    _ recipe: PersistenceRecipe, _ summary: PersistenceSummary, _ attacker: String, _ defenders: [String]
  ) -> LineChart {
    let series = defenders.map { defender in
      LineChart.Series(
        name: defender,
        points: summary.rows.filter { $0.defender == defender && $0.attacker == attacker }
          .compactMap { row in row.own.map { (row.step, $0) } })
    }
    let highest = summary.rows.compactMap { $0.own?.high }.max() ?? 0.1
    return LineChart(
      series: series, ticks: recipe.steps, xName: "retraining steps", yName: "L2mask (own)",
      top: max(0.2, (highest * 5).rounded(.up) / 5))
  }

  /// What the figures say, in plain words.
  private static func sentences(
    _ recipe: PersistenceRecipe, _ defenders: [String], _ last: (String, String) -> PersistenceSummary.Row?
  ) -> [String] {
    let idle = recipe.attackers.first { !$0.retrains && $0.purify == nil }?.name
    return defenders.compactMap { defender in
      guard recipe.defenders.first(where: { $0.name == defender })?.isNone == false else { return nil }
      func rate(_ attacker: String) -> Double? { last(defender, attacker)?.ownRate?.mean }
      func least(_ attackers: [PersistenceRecipe.Attacker]) -> (name: String, rate: Double)? {
        attackers.compactMap { attacker in rate(attacker.name).map { (attacker.name, $0) } }.min { $0.1 < $1.1 }
      }
      var text = "\(defender): "
      text +=
        idle.flatMap(rate).map { String(format: "%.0f%% of edits are broken before any attack", 100 * $0) }
        ?? "attacked"
      if let worst = least(recipe.attackers.filter { !$0.retrains && $0.purify != nil }) {
        text += String(format: "; %.0f%% after the strongest purifier (\(worst.name))", 100 * worst.rate)
      }
      if let worst = least(recipe.attackers.filter(\.retrains)) {
        text += String(
          format: "; %.0f%% after the strongest retraining (\(worst.name), %d steps)", 100 * worst.rate,
          recipe.steps.last ?? 0)
      }
      return text + "."
    }
  }

  private static func strips(_ recipe: PersistenceRecipe, _ defenders: [String], folder: URL) throws -> [Page.Strip] {
    guard let attacker = recipe.attackers.first(where: { $0.retrains && $0.detectors.isEmpty }) else { return [] }
    return try recipe.arms.filter { $0.attacker == attacker && $0.seed == recipe.seeds[0] }.compactMap { arm in
      let url = folder.appendingPathComponent("\(arm.path)/\(PersistenceArm.stripName)")
      guard FileManager.default.fileExists(atPath: url.path), defenders.contains(arm.defender.name) else { return nil }
      return Page.Strip(
        defender: arm.defender.name, attacker: attacker.name,
        image: "data:image/png;base64," + (try MappedFile(url).data.base64EncodedString()))
    }
  }

  private static func tableRows(_ summary: PersistenceSummary) throws -> [Page.TableRow] {
    func text(_ estimate: Estimate?, _ digits: Int) -> String {
      estimate.map {
        String(format: "%.\(digits)f (%.\(digits)f–%.\(digits)f)", $0.mean, $0.low, $0.high)
      } ?? "–"
    }
    return summary.rows.map { row in
      Page.TableRow(cells: [
        row.defender, row.attacker, "\(row.step)", String(format: "%.0f%%", 100 * row.kept), text(row.own, 3),
        text(row.ownRate, 2), text(row.cross, 3), text(row.drift, 3), text(row.cleanSuccess, 2),
        text(row.protectedSuccess, 2), text(row.ssim, 2), text(row.lpips, 3),
        row.fid.map { String(format: "%.1f", $0) } ?? "–",
      ])
    }
  }
}

extension PersistenceRecipe {
  /// Whether an attacker cuts faces out.
  fileprivate func prepares(_ attacker: String) -> Bool {
    attackers.contains { $0.name == attacker && !$0.detectors.isEmpty }
  }
}

/// Raw: only {{...}} is replaced.
private let template =
  pageHead(
    title: "Does protection last?",
    style: #"""
      :root { --mark: 27,79,156; } @media (prefers-color-scheme: dark) { :root { --mark: 110,160,235; } }
      h2 { font-size: 1.2rem; margin-top: 2.2rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
      .scroll { overflow-x: auto; }
      table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
      th, td { border: 1px solid var(--line); padding: .3rem .5rem; text-align: right; } th:first-child, td:first-child { text-align: left; }
      thead th { vertical-align: bottom; } .kept td, .kept th { border-top: 0; color: var(--soft); font-size: .75rem; font-weight: normal; }
      td.cell { background: rgba(var(--mark), var(--shade)); }
      svg { width: 100%; height: auto; } svg text { font: 12px system-ui, sans-serif; fill: currentColor; } svg .grid { stroke: var(--line); }
      img { max-width: 100%; image-rendering: auto; display: block; } figure { margin: .4rem 0 1.2rem; } figcaption { color: var(--soft); }
      pre { font-size: .75rem; overflow-x: auto; }
      """#) + #"""
    <body>
    <h1>Does protection last?</h1>
    <p class="soft">An attacker collects {{photos}} protected photos, takes the protection off or retrains his generator on them, and is judged
    on {{faces}} other faces with the same protection, {{seeds}} {{seedsNoun}} with different random numbers. No channel of a photo
    moves by more than {{epsilon}} on a scale of −1 to 1.</p>
    <ul>{{#sentences}}<li>{{.}}</li>{{/sentences}}</ul>

    <h2>What is left: share of edits still broken</h2>
    <div class="scroll"><table>
    <thead><tr><th>attacker</th>{{#defenders}}<th>{{.}}</th>{{/defenders}}</tr></thead>
    <tbody>
    {{#rows}}<tr><th>{{attacker}}</th>{{#cells}}<td class="cell" style="--shade: {{shade}}" title="{{detail}}">{{text}}</td>{{/cells}}</tr>
    {{#hasKeptRow}}<tr class="kept"><th>photos that survive preparation</th>{{#kept}}<td>{{.}}</td>{{/kept}}</tr>{{/hasKeptRow}}
    {{/rows}}
    </tbody></table></div>
    <p class="soft">An edit counts as broken where its mean squared error, within what the edit changes, is above 0.05 (SR_mask). Edits of
    protected faces are held against the same generator's edits of the originals: after retraining, the retrained generator's.
    Rest the pointer on a cell for its 95% interval. Who retrains is judged after {{steps}} steps.</p>

    {{#charts}}
    <h3>{{attacker}}</h3>
    <figure>{{{svg}}}</figure>
    {{/charts}}
    <p class="soft">Bands are 95% intervals over faces and seeds. Steps are spaced by their roots.</p>

    <h2>Examples</h2>
    {{#strips}}
    <figure><img src="{{image}}" alt="Faces and edits: {{defender}}, {{attacker}}"><figcaption>{{defender}}, {{attacker}}. From left: original, protected as the
    generator gets it, edit of the original, edit of the protected, both edits after retraining.</figcaption></figure>
    {{/strips}}

    <h2>All figures</h2>
    <details><summary>Every defender, attacker and step</summary>
    <div class="scroll"><table>
    <thead><tr><th>defender</th><th>attacker</th><th>step</th><th>photos kept</th><th>L2mask own</th><th>SR_mask own</th><th>L2mask cross</th><th>drift</th><th>success, clean</th><th>success, protected</th><th>SSIM</th><th>LPIPS</th><th>FID</th></tr></thead>
    <tbody>{{#table}}<tr>{{#cells}}<td>{{.}}</td>{{/cells}}</tr>
    {{/table}}</tbody></table></div></details>
    <p class="soft">own: against the retrained generator's edit of the original. cross: against the edit before retraining; it counts only as far
    as it exceeds drift, the change of clean edits. success: how often a classifier, trained apart, finds what was asked for. Means and
    95% intervals by bootstrap over faces and seeds.</p>
    <details><summary>The recipe (tsdf {{version}})</summary><pre>{{recipe}}</pre></details>
    </body>
    </html>
    """#
