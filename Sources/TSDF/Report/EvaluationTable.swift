import Foundation
import Pictures

/// Reports as tables: for people, and as CSV.
package enum EvaluationTable: Sendable {
  /// One line a report and generator or detector, comma-separated, with a header.
  package static func csv(_ reports: [VariantReport]) -> String {
    var lines = [
      "variant,attack,refine_steps,photos,faces,watermark_psnr,watermark_ssim,watermark_lpips,kind,model,count,left_out,l2mask,sr_mask,"
        + "edit_ssim,edit_psnr,fid,edit_lpips,identity,robustness,precision,recall,f1,duq,confidence_change,box_count_change"
    ]
    for r in reports {
      let head =
        "\(r.variant),\(r.attack ?? ""),\(r.refineSteps),\(r.photos),\(r.faces),"
        + "\(number(r.watermarkPSNR)),\(number(r.watermarkSSIM)),\(number(r.watermarkLPIPS ?? .nan))"
      for g in r.generators {
        lines.append(
          "\(head),generator,\(g.name),\(g.edits),\(g.emptyMasks),\(number(g.l2Mask)),\(number(g.successRate)),"
            + "\(number(g.ssim)),\(number(g.psnr)),\(number(g.fid ?? .nan)),"
            + "\(number(g.lpips ?? .nan)),\(number(g.identity ?? .nan)),\(number(g.robustness ?? .nan)),,,,,,")
      }
      for d in r.detectors {
        lines.append(
          "\(head),detector,\(d.name),\(d.images),\(d.withoutFace),,,,,,,,,\(number(d.precision)),\(number(d.recall)),"
            + "\(number(d.f1)),\(number(d.duq)),\(number(d.confidenceChange)),\(number(d.boxCountChange))")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// Columns for a terminal or a Markdown page.
  package static func text(_ reports: [VariantReport]) -> String {
    guard let first = reports.first else { return "" }
    var header = ["protection", "attack", "PSNR", "SSIM"] + (first.watermarkLPIPS == nil ? [] : ["LPIPS"])
    let hasRobustness = reports.contains { $0.generators.contains { $0.robustness != nil } }
    header += first.generators.flatMap { g in
      ["\(g.name) L2mask", "SR_mask"] + (g.fid == nil ? [] : ["FID"]) + (g.lpips == nil ? [] : ["LPIPS"])
        + (g.identity == nil ? [] : ["identity"]) + (hasRobustness ? ["kept"] : [])
    }
    header += first.detectors.flatMap { ["\($0.name) F1", "recall"] }
    var rows = [header, header.map { _ in "---" }]
    for r in reports {
      var row = [r.variant, r.attack ?? "-", number(r.watermarkPSNR, 1), number(r.watermarkSSIM)]
      row += r.watermarkLPIPS.map { [number($0)] } ?? []
      row += r.generators.flatMap { g in
        [number(g.l2Mask), number(g.successRate, 2)] + (g.fid.map { [number($0, 1)] } ?? [])
          + [g.lpips, g.identity].compactMap { $0.map { number($0) } }
          + (hasRobustness ? [g.robustness.map { number($0, 2) } ?? "-"] : [])
      }
      row += r.detectors.flatMap { [number($0.f1, 1), number($0.recall, 1)] }
      rows.append(row)
    }
    let widths = header.indices.map { column in rows.map { $0[column].count }.max()! }
    var text = rows.map { row in
      "| " + zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }.joined(separator: " | ")
        + " |"
    }.joined(separator: "\n")
    text += "\n\n\(first.faces) faces" + (first.photos < first.faces ? " in \(first.photos) photos" : "")
    for g in first.generators {
      text += "; \(g.name): \(g.edits) edits judged, \(g.emptyMasks) without a change left out"
    }
    for r in reports where r.attack == nil {
      if let transfer = r.transfer {
        text +=
          "; \(r.variant): SR_mask \(number(transfer, 2)) on average against generators that it was not made against"
      }
    }
    for d in first.detectors where d.withoutFace > 0 {
      text += "; \(d.name) finds no face in \(d.withoutFace) clean photos"
    }
    return text + "\n"
  }

  private static func number(_ value: Double, _ digits: Int = 3) -> String {
    value.isNaN ? "" : value.isInfinite ? "inf" : String(format: "%.\(digits)f", value)
  }
}
