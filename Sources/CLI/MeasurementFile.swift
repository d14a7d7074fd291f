import ArgumentParser
import Foundation
import Kernels
import Pictures
import SystemPackage
import TSDF

/// What a shard of `tsdf evaluate` measured so far: a line of JSON that says what is measured, then a line a photo, in their order.
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
    /// What tells that all photos are as they were; `files(of:)`.
    var files: String
  }

  static func name(of shard: Shard) -> FilePath { FilePath("measured.\(shard.index)-of-\(shard.count).jsonl") }

  private(set) var data: Data
  /// The photo that is to be measured next.
  private(set) var next: Int

  /// - Parameters:
  ///   - files: what tells that all photos are as they were.
  ///   - earlier: what the same shard measured before it was stopped, as far as that is whole and of the same evaluation.
  init(_ head: Head, shard: Shard, files: String, continuing earlier: Data?) throws {
    let part = shard.range(of: head.photos)
    (data, next) = (try Self.line(FirstLine(head: head, shard: shard.index, files: files)), part.lowerBound)
    guard let earlier, earlier.starts(with: data) else { return }
    let sum = EvaluationSum(head.plan)
    for line in earlier.dropFirst(data.count).split(separator: Self.newline) {
      guard part.contains(next), let photo = Self.photo(line), photo.index == next, sum.takes(photo) else { return }
      data += line + [Self.newline]
      next += 1
    }
  }

  mutating func add(_ photo: MeasuredPhoto) throws {
    data += try Self.line(photo)
    next = photo.index + 1
  }

  /// The SHA-256 of photos' names, sizes and times.
  static func files(of photos: Dataset) throws -> String {
    let digest = RunningDigest()
    for item in photos.items {
      do {
        let line = try canonicalJSON(FileStamp(Stat(FilePath(item.url.path)))) + " \(item.url.path)\n"
        Data(line.utf8).withUnsafeBytes { digest.update($0) }
      } catch let error as Errno {
        throw FileError(item.url.path, "cannot be read (\(error))")
      }
    }
    return digest.finish()
  }

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
    for (path, lines, first) in opened {
      let end = Shard(first.shard, of: head.shards)?.range(of: head.photos).upperBound
      for line in lines.dropFirst() {
        guard let photo = photo(line), photo.index == next, sum.takes(photo) else {
          throw FileError(path, "is damaged: photo \(next) is not there or not whole")
        }
        sum.add(photo)
        next += 1
      }
      guard next == end else {
        throw FileError(
          path, "ends before photo \(next): start shard \(first.shard) of \(head.shards) again, it goes on")
      }
    }
    return (head, sum)
  }

  private static func photo(_ line: Data) -> MeasuredPhoto? {
    try? JSONDecoder.withAllNumbers().decode(MeasuredPhoto.self, from: line)
  }

  private static let newline = UInt8(ascii: "\n")

  private static func line(_ value: some Encodable) throws -> Data { Data(try canonicalJSON(value).utf8) + [newline] }
}
