import Foundation
import TSDF

/// How far a run of `tsdf protect` is and how long the rest will take.
struct ProtectPace {
  /// Photos, those that are over, and those of them that were protected now, not before.
  private let count: Int
  private var finished = 0, made = 0
  private let start = Date()
  /// Photos in work, by their numbers: their names and how far they are.
  var inWork: [Int: (name: String, progress: ProtectionProgress)] = [:]

  init(count: Int = 0) { self.count = count }

  /// Whether there is anything to tell of.
  var hasBegun: Bool { finished > 0 || !inWork.isEmpty }

  var isOver: Bool { finished == count }

  mutating func finish(_ index: Int, isMade: Bool) {
    inWork[index] = nil
    finished += 1
    if isMade { made += 1 }
  }

  /// One line for people.
  var text: String {
    // Of several the one that is furthest.
    let current = inWork.sorted { $0.key < $1.key }.map(\.value).max { $0.progress.fraction < $1.progress.fraction }
    let detail = current.map { name, progress in
      let again = progress.round > 0 ? "again, " : ""
      return "\(name): \(again)face \(progress.face) of \(progress.faces), step \(progress.step) of \(progress.steps)"
    }
    return (["\(finished)/\(count) images"] + [detail, remaining].compactMap { $0 }).joined(separator: "  ")
  }

  /// Nil until enough is done to go by.
  private var remaining: String? {
    let begun = inWork.values.reduce(0) { $0 + $1.progress.fraction }
    let done = Double(made) + begun
    let elapsed = Date().timeIntervalSince(start)
    guard !isOver, made > 0 || begun > 0.1, elapsed > 2 else { return nil }
    let seconds = elapsed / done * max(0, Double(count - finished) - begun)
    switch seconds {
    case ..<100: return "about \(Int(seconds.rounded(.up))) s to go"
    case ..<6000: return "about \(Int((seconds / 60).rounded())) min to go"
    default: return String(format: "about %.1f h to go", seconds / 3600)
    }
  }
}
