import Foundation
import Kernels

/// The losses of a run, a line of JSON a report. A run that goes on from a checkpoint goes on with its lines, so that the file does
/// not show where it was stopped.
package final class LossLog {
  private struct Line: Codable {
    var step: Int
    /// Critic steps before the first generator step.
    var warmUp: Int?
    var losses: [String: Float]
  }

  private let url: URL

  /// - Parameters:
  ///   - step: lines of later ones, from a run that was stopped, are dropped; so is a line that was cut off.
  ///   - warmUpStep: likewise, while the step is 0.
  package init(_ url: URL, step: Int, warmUpStep: Int) throws {
    self.url = url
    let text = (try? Data(contentsOf: url)) ?? Data()
    let kept = text.split(separator: 10).filter {
      guard let line = try? JSONDecoder().decode(Line.self, from: $0) else { return false }
      return line.warmUp.map { $0 <= warmUpStep } ?? (line.step <= step)
    }
    try writeAtomically(Data(kept.flatMap { $0 + [10] }), to: url)
  }

  /// Adds a line.
  package func add(step: Int, warmUpStep: Int?, _ losses: [(name: String, value: Float)]) throws {
    let values = Dictionary(losses.map { ($0.name, $0.value) }) { $1 }
    let line = try canonicalJSON(Line(step: step, warmUp: warmUpStep, losses: values)) + "\n"
    do {
      let file = try FileHandle(forWritingTo: url)
      defer { try? file.close() }
      try file.seekToEnd()
      try file.write(contentsOf: Data(line.utf8))
    } catch {
      throw FileError(url.path, "cannot be written (\(plainReason(error)))")
    }
  }
}

@available(*, unavailable)
extension LossLog: Sendable {}
