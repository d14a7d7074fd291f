import Foundation
import Kernels
import Pictures

/// What has been done in an output folder, one line of JSON a file, so that a second run does only the rest. A line is
/// added after its output is in place; a last line cut off by a crash is ignored.
public final class Journal {
  public struct Entry: Codable, Sendable {
    /// The output, relative to the folder.
    public var output: String
    /// The SHA-256 of the source file, and of the settings that it was made under.
    public var source: String, settings: String
    public var faces: Int
    /// Faces that are still found in the output; nil where they were not to be hidden.
    public var stillFound: Int?
    public var psnr: Double?, ssim: Double
    public var seconds: Double

    public init(
      output: String, source: String, settings: String, faces: Int, stillFound: Int?, psnr: Double?, ssim: Double,
      seconds: Double
    ) {
      (self.output, self.source, self.settings, self.faces) = (output, source, settings, faces)
      (self.stillFound, self.psnr, self.ssim, self.seconds) = (stillFound, psnr, ssim, seconds)
    }
  }

  public static let fileName = ".tsdf-journal.jsonl"
  private let folder: URL
  private let url: URL
  private var entries: [String: Entry] = [:]

  public init(folder: URL) {
    self.folder = folder
    url = folder.appendingPathComponent(Self.fileName)
    let text = (try? String(contentsOf: url, encoding: .utf8)) ?? ""
    for line in text.split(separator: "\n") {
      if let entry = try? JSONDecoder().decode(Entry.self, from: Data(line.utf8)) { entries[entry.output] = entry }
    }
  }

  /// The entry of an output that is there and was made from this source under these settings.
  public func finished(output: String, source: String, settings: String) -> Entry? {
    guard let entry = entries[output], entry.source == source, entry.settings == settings,
      FileManager.default.fileExists(atPath: folder.appendingPathComponent(output).path)
    else { return nil }
    return entry
  }

  public func add(_ entry: Entry) throws {
    entries[entry.output] = entry
    let line = Data((try canonicalJSON(entry) + "\n").utf8)
    do {
      if !FileManager.default.fileExists(atPath: url.path) { try Data().write(to: url) }
      let handle = try FileHandle(forWritingTo: url)
      defer { try? handle.close() }
      try handle.seekToEnd()
      try handle.write(contentsOf: line)
    } catch {
      throw FileError(url.path, "cannot be written (\(plainReason(error)))")
    }
  }
}

@available(*, unavailable)
extension Journal: Sendable {}
