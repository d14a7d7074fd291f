import Kernels
import SystemPackage

/// What the journal of an output folder says of a copy. Lines of early versions lack what is optional.
package struct ProtectedFile: JournalEntry {
  /// The copy, relative to the folder.
  package var output: RecordedPath
  /// The version that made it.
  package var version: String?
  /// The SHA-256 of the path of what it was made from: which input it is of, without saying where that lies.
  package var origin: String?
  /// The SHA-256 of what it was made from, and of the settings that it was made under.
  package var source: String, settings: String
  /// The SHA-256 and the size of the copy.
  package var copy: String?, bytes: Int64?
  /// How both files are known without reading them; of the copy only once it is in its place.
  package var sourceStamp: FileStamp?, copyStamp: FileStamp?
  package var faces = 0
  /// Faces that are still found in the copy; nil where they were not to be hidden.
  package var stillFound: Int?
  package var psnr: Double?, ssim: Double?
  package var seconds = 0.0

  package static var journalName: String { PartialFile.ownPrefix + "journal.jsonl" }
  package static var keyField: String { "output" }
  package var key: FilePath { output.path }

  package init(output: FilePath, origin: String, source: String = "", sourceStamp: FileStamp?, settings: String) {
    (self.output, self.origin, self.source) = (RecordedPath(output), origin, source)
    (self.sourceStamp, self.settings, version) = (sourceStamp, settings, tsdfVersion)
  }
}
