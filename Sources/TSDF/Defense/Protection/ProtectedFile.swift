import Kernels
import SystemPackage

/// What the journal of an output folder says of a copy. Lines of early versions lack what is optional.
public struct ProtectedFile: JournalEntry {
  /// The copy, relative to the folder.
  public var output: RecordedPath
  /// The version that made it.
  public var version: String?
  /// The SHA-256 of the path of what it was made from: which input it is of, without saying where that lies.
  public var origin: String?
  /// The SHA-256 of what it was made from, and of the settings that it was made under.
  public var source: String, settings: String
  /// The SHA-256 and the size of the copy.
  public var copy: String?, bytes: Int64?
  /// How both files are known without reading them; of the copy only once it is in its place.
  public var sourceStamp: FileStamp?, copyStamp: FileStamp?
  public var faces = 0
  /// Faces that are still found in the copy; nil where they were not to be hidden.
  public var stillFound: Int?
  public var psnr: Double?, ssim: Double?
  public var seconds = 0.0

  public static var journalName: String { PartialFile.ownPrefix + "journal.jsonl" }
  public static var keyField: String { "output" }
  public var key: FilePath { output.path }

  public init(output: FilePath, origin: String, source: String = "", sourceStamp: FileStamp?, settings: String) {
    (self.output, self.origin, self.source) = (RecordedPath(output), origin, source)
    (self.sourceStamp, self.settings, version) = (sourceStamp, settings, tsdfVersion)
  }
}
