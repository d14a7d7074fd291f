import Kernels

/// What the journal of an output folder says of a protected copy.
public struct ProtectedFile: JournalEntry {
  /// The copy, relative to the folder.
  public var output: String
  public var source: String, settings: String
  public var faces: Int
  /// Faces that are still found in the copy; nil where they were not to be hidden.
  public var stillFound: Int?
  public var psnr: Double?, ssim: Double
  public var seconds: Double

  public static var journalName: String { ".tsdf-journal.jsonl" }
  public var key: String { output }

  public init(
    output: String, source: String, settings: String, faces: Int, stillFound: Int?, psnr: Double?, ssim: Double,
    seconds: Double
  ) {
    (self.output, self.source, self.settings, self.faces) = (output, source, settings, faces)
    (self.stillFound, self.psnr, self.ssim, self.seconds) = (stillFound, psnr, ssim, seconds)
  }
}
