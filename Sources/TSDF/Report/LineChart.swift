import Foundation

/// Curves with bands of intervals as SVG, to be read without colour: each line has a dash and a mark of its own, and its name at its
/// end.
struct LineChart {
  /// A curve's points, ascending in x.
  struct Series {
    var name: String
    var points: [(x: Int, estimate: Estimate)]
  }

  var series: [Series]
  /// The x values that are marked.
  var ticks: [Int]
  var xName: String, yName: String
  /// The largest y shown.
  var top: Double

  private let width = 760.0, height = 300.0
  /// Room for axes and names.
  private let left = 56.0, right = 190.0, above = 14.0, below = 44.0
  private static let dashes = ["", "7 4", "2 3", "9 3 2 3", "12 4", "4 2", "1 4", "6 2 1 2"]
  private static let colors = ["#1b4f9c", "#b3401f", "#2a7a3b", "#7b3fa0", "#8a6d00", "#0f7f86", "#a3195b", "#4d4d4d"]

  /// Steps are far apart at the end: their roots are shown.
  private func x(_ value: Int) -> Double {
    left + (width - left - right) * (Double(value) / Double(max(1, ticks.last ?? 1))).squareRoot()
  }

  private func y(_ value: Double) -> Double {
    above + (height - above - below) * (1 - min(1, max(0, value / top)))
  }

  var svg: String {
    var parts = [
      "<svg viewBox=\"0 0 \(Int(width)) \(Int(height))\" role=\"img\" aria-label=\"\(escaped(yName)) by \(escaped(xName))\">"
    ]
    for share in [0, 0.25, 0.5, 0.75, 1] {
      let at = y(share * top)
      parts.append("<line class=\"grid\" x1=\"\(left)\" x2=\"\(width - right)\" y1=\"\(n(at))\" y2=\"\(n(at))\"/>")
      parts.append(
        "<text x=\"\(left - 6)\" y=\"\(n(at + 4))\" text-anchor=\"end\">\(String(format: "%.2f", share * top))</text>")
    }
    for tick in ticks {
      parts.append("<text x=\"\(n(x(tick)))\" y=\"\(height - below + 16)\" text-anchor=\"middle\">\(tick)</text>")
    }
    parts.append(
      "<text x=\"\(n((left + width - right) / 2))\" y=\"\(height - 8)\" text-anchor=\"middle\">\(escaped(xName))</text>"
    )
    parts.append(
      "<text transform=\"translate(14 \(n(height / 2))) rotate(-90)\" text-anchor=\"middle\">\(escaped(yName))</text>")
    for (index, line) in series.enumerated() where !line.points.isEmpty { parts.append(curve(line, index)) }
    parts += labels()
    return parts.joined(separator: "\n") + "</svg>"
  }

  private func curve(_ line: Series, _ index: Int) -> String {
    let color = Self.colors[index % Self.colors.count]
    func path(_ value: (Estimate) -> Double, reversed: Bool = false) -> String {
      (reversed ? line.points.reversed() : line.points).map { "\(n(x($0.x))),\(n(y(value($0.estimate))))" }
        .joined(separator: " ")
    }
    let marks = line.points.map { mark(index, x($0.x), y($0.estimate.mean), color) }.joined()
    return """
      <polygon points="\(path(\.low)) \(path(\.high, reversed: true))" fill="\(color)" opacity="0.10"/>
      <polyline points="\(path(\.mean))" fill="none" stroke="\(color)" stroke-width="1.8" \
      stroke-dasharray="\(Self.dashes[index % Self.dashes.count])"/>\(marks)
      """
  }

  private func mark(_ index: Int, _ x: Double, _ y: Double, _ color: String) -> String {
    switch index % 4 {
    case 0: return "<circle cx=\"\(n(x))\" cy=\"\(n(y))\" r=\"3.4\" fill=\"\(color)\"/>"
    case 1: return "<rect x=\"\(n(x - 3))\" y=\"\(n(y - 3))\" width=\"6\" height=\"6\" fill=\"\(color)\"/>"
    case 2: return "<path d=\"M\(n(x)) \(n(y - 4))l4 7h-8z\" fill=\"\(color)\"/>"
    default: return "<path d=\"M\(n(x - 3)) \(n(y - 3))l6 6m0 -6l-6 6\" stroke=\"\(color)\" stroke-width=\"2\"/>"
    }
  }

  /// The names at the curves' ends, moved apart where they would cover each other.
  private func labels() -> [String] {
    let ends = series.enumerated().compactMap { index, line in
      line.points.last.map { (index, line.name, y($0.estimate.mean)) }
    }
    .sorted { ($0.2, $0.0) < ($1.2, $1.0) }
    var last = above - 4
    let room = (height - below - above) / Double(max(1, ends.count))
    return ends.enumerated().map { place, end in
      // Never below what those that follow need.
      let latest = height - below - Double(ends.count - 1 - place) * min(15, room)
      let at = min(max(end.2 + 4, last + min(15, room)), latest)
      last = at
      let (tip, color) = (x(ticks.last ?? 0), Self.colors[end.0 % Self.colors.count])
      return """
        <line x1="\(n(tip + 5))" y1="\(n(end.2))" x2="\(n(tip + 20))" y2="\(n(at - 4))" stroke="\(color)" stroke-width="0.8"/>\
        \(mark(end.0, tip + 27, at - 4, color))<text x="\(n(tip + 36))" y="\(n(at))" fill="\(color)">\(escaped(end.1))</text>
        """
    }
  }

  private func n(_ value: Double) -> String { String(format: "%.1f", value) }
}

/// Text as HTML shows it.
private func escaped(_ text: String) -> String {
  text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
    .replacingOccurrences(of: ">", with: "&gt;").replacingOccurrences(of: "\"", with: "&quot;")
}
