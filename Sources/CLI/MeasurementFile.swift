import ArgumentParser
import Foundation
import Kernels
import TSDF

/// What a shard of `tsdf evaluate` measured: a line of JSON that says what was measured, then a line a photo.
struct MeasurementFile {
  /// What all shards of an evaluation have in common.
  struct Head: Codable, Equatable {
    var conditions: EvaluationConditions
    var plan: EvaluationPlan
    /// All photos, those of other shards too.
    var photos: Int
    var shards: Int
  }

  private struct FirstLine: Codable {
    var head: Head
    var shard: Int
  }

  static func name(of shard: Shard) -> String { "measured.\(shard.index)-of-\(shard.count).jsonl" }

  private(set) var data: Data

  init(_ head: Head, shard: Shard) throws { data = try Self.line(FirstLine(head: head, shard: shard.index)) }

  mutating func add(_ photo: MeasuredPhoto) throws { data += try Self.line(photo) }

  /// Adds up what all shards of an evaluation measured.
  /// - Throws: `FileError` where a file is none, is of another evaluation, is there twice or is missing.
  static func merged(_ paths: [String]) throws -> (head: Head, sum: EvaluationSum) {
    var opened: [(path: String, lines: [Data.SubSequence], first: FirstLine)] = []
    for path in paths {
      let lines = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe).split(separator: newline)
      guard let first = lines.first.flatMap({ try? JSONDecoder.withAllNumbers().decode(FirstLine.self, from: $0) })
      else {
        throw FileError(path, "is no file that evaluate --shard writes")
      }
      if let other = opened.first, other.first.head != first.head {
        throw FileError(
          path, "was measured under other settings, on other photos or by another version than \(other.path)")
      }
      if let other = opened.first(where: { $0.first.shard == first.shard }) {
        throw FileError(path, "is of shard \(first.shard), and so is \(other.path)")
      }
      opened.append((path, lines, first))
    }
    opened.sort { $0.first.shard < $1.first.shard }
    guard let head = opened.first?.first.head else { throw ValidationError("--merge names no file") }
    let missing = (0..<max(0, head.shards)).filter { index in !opened.contains { $0.first.shard == index } }
    guard missing.isEmpty else {
      throw ValidationError("--merge lacks shard \(missing[0]) of \(head.shards)")
    }
    var sum = EvaluationSum(head.plan)
    var next = 0
    for (path, lines, _) in opened {
      for line in lines.dropFirst() {
        guard let photo = try? JSONDecoder.withAllNumbers().decode(MeasuredPhoto.self, from: line), photo.index == next,
          sum.takes(photo)
        else { throw FileError(path, "is damaged: photo \(next) is not there or not whole") }
        sum.add(photo)
        next += 1
      }
    }
    guard next == head.photos else {
      throw ValidationError("--merge: there are \(next) of \(head.photos) photos; a shard's file was cut")
    }
    return (head, sum)
  }

  private static let newline = UInt8(ascii: "\n")

  private static func line(_ value: some Encodable) throws -> Data { Data(try canonicalJSON(value).utf8) + [newline] }
}
