import Foundation
import Kernels
import Pictures
import Synchronization
import TSDF

/// One run of `tsdf protect` over many files: every core reads, decodes, encodes and writes, while the device works for one
/// picture at a time. As many pictures are in memory as there are cores, however many there are in all.
final class ProtectRun: Sendable {
  /// What was done.
  struct Summary: Encodable, Sendable {
    var files = 0, done = 0, skipped = 0, failures = 0
    var faces = 0, withoutFace = 0
    /// Faces that refinement was to hide, and that are still found in the protected pictures.
    var stillFound = 0
    var psnr = Double.nan, ssim = Double.nan
    var seconds = 0.0, imagesPerSecond = 0.0
  }

  private let protector: SharedProtector
  private let settingsHash: String
  private let folder: URL
  private let format: ProtectCommand.OutputFormat
  private let quality: Int

  /// What workers take turns at: the journal, what is printed, and the sums.
  private struct Shared {
    let journal: Journal<ProtectedFile>
    let progress: Progress
    var summary = Summary()
    var outputs: Set<String> = []
    var finite = 0
    var pace = ProtectPace()
    var psnrSum = 0.0, ssimSum = 0.0
  }

  private let shared: Mutex<Shared>

  init(
    protector: SharedProtector, settingsHash: String, folder: URL, format: ProtectCommand.OutputFormat, quality: Int,
    progress: sending Progress
  ) {
    (self.protector, self.settingsHash) = (protector, settingsHash)
    (self.folder, self.format, self.quality) = (folder, format, quality)
    shared = Mutex(Shared(journal: Journal(folder: folder), progress: progress))
  }

  private var settings: ProtectionSettings { protector.settings }

  /// Protects what is not done yet; a file that fails is named on stderr and the rest goes on.
  func protect(_ work: WorkList) -> Summary {
    let start = Date()
    shared.withLock { $0.pace = ProtectPace(count: work.items.count) }
    forEachConcurrently(work.items.count) { handle(work.items[$0], $0) }
    return shared.withLock {
      $0.summary.files = work.items.count + work.failures.count
      $0.summary.failures += work.failures.count
      $0.summary.seconds = Date().timeIntervalSince(start)
      $0.summary.imagesPerSecond = Double($0.summary.done) / max($0.summary.seconds, 1e-9)
      $0.summary.psnr = $0.psnrSum / Double($0.finite)
      $0.summary.ssim = $0.ssimSum / Double($0.summary.done + $0.summary.skipped)
      return $0.summary
    }
  }

  private func handle(_ item: WorkList.Item, _ index: Int) {
    var isMade = false
    do {
      let name = outputName(item)
      let isNew = shared.withLock { $0.outputs.insert(name).inserted }
      guard isNew else {
        throw FileError(item.url.path, "would have the same name as another input's copy, \(name)")
      }
      let data = try ImageFile.data(of: item.url)
      let source = sha256(data).hexadecimal
      let isThere = FileManager.default.fileExists(atPath: folder.appendingPathComponent(name).path)
      let before = shared.withLock {
        isThere ? $0.journal.finished(name, source: source, settings: settingsHash) : nil
      }
      let entry = try before ?? protect(item, data, as: name, source, index)
      isMade = before == nil
      try shared.withLock {
        if before == nil {
          try $0.journal.add(entry)
          $0.summary.done += 1
        } else {
          $0.summary.skipped += 1
        }
        $0.summary.faces += entry.faces
        $0.summary.stillFound += entry.stillFound ?? 0
        if settings.region == .faces && entry.faces == 0 { $0.summary.withoutFace += 1 }
        if let psnr = entry.psnr {
          $0.psnrSum += psnr
          $0.finite += 1
        }
        $0.ssimSum += entry.ssim
      }
    } catch {
      shared.withLock {
        $0.summary.failures += 1
        printError("\(error)")
      }
    }
    shared.withLock {
      $0.pace.finish(index, isMade: isMade)
      $0.progress.update($0.pace.text, isLast: $0.pace.isOver)
    }
  }

  private func note(_ text: String) { shared.withLock { $0.progress.note(text) } }

  private func outputName(_ item: WorkList.Item) -> String {
    guard format != .keep, ImageType(pathExtension: item.url.pathExtension)?.rawValue != format.rawValue else {
      return item.relativePath
    }
    let base = (item.relativePath as NSString).deletingPathExtension
    return base + (format == .png ? ".png" : ".jpg")
  }

  private func protect(
    _ item: WorkList.Item, _ data: Data, as name: String, _ source: String, _ index: Int
  ) throws -> ProtectedFile {
    let start = Date()
    var file = try ImageFile(data, path: item.url.path)
    if let note = file.note { self.note("\(item.url.path): \(note)") }
    let upright = file.image.upright(from: file.orientation)
    // Not needed beside the upright one.
    file.image = upright
    for face in settings.faces {
      guard face.intersection(Box(x0: 0, y0: 0, x1: Float(upright.width), y1: Float(upright.height))) > 0 else {
        throw FileError(
          item.url.path,
          "has no pixel of --face \(text(of: face, separator: ",")); as viewers show it it has \(upright.width) x \(upright.height)"
        )
      }
    }
    let type = format == .keep ? file.type : (format == .png ? .png : .jpeg)
    let encoding = try encoding(of: file, as: type)
    let result = try protector.protect(upright, encoding: encoding) { state in
      shared.withLock {
        $0.pace.inWork[index] = (item.url.lastPathComponent, state)
        $0.progress.update($0.pace.text)
      }
    }
    if settings.region == .faces && result.faceCount == 0 {
      note("\(item.url.path): no face found, the whole image is protected")
    }
    if let still = result.stillFound, !still.isEmpty {
      let places = still.map { text(of: $0, separator: " ") }.joined(separator: "; ")
      note("\(item.url.path): \(still.count) of \(result.faceCount) faces are still found (x y w h): \(places)")
    }
    let target = folder.appendingPathComponent(name)
    try writeAtomically(result.encoded!, to: target)
    if type == .png {
      let change = try encoding.decode(result.encoded!).largestDifference(from: upright)
      guard change <= settings.epsilon + 1e-6 else {
        throw FileError(target.path, "differs by \(change) from the original, more than the budget \(settings.epsilon)")
      }
    }
    return ProtectedFile(
      output: name, source: source, settings: settingsHash, faces: result.faceCount,
      stillFound: result.stillFound?.count,
      psnr: result.psnr.isFinite ? result.psnr : nil, ssim: result.ssim, seconds: Date().timeIntervalSince(start))
  }

  /// How the copy of a file is written and read again.
  private func encoding(of file: ImageFile, as type: ImageType) throws -> PictureEncoding {
    PictureEncoding(
      view: type == .jpeg ? try PurificationRecipe("jpeg444:\(quality)@photo") : nil,
      encode: { picture in
        var copy = file
        copy.image = picture.stored(as: file.orientation)
        return try copy.encoded(as: type, quality: self.quality)
      },
      decode: { try ImageFile($0, path: "").image.upright(from: file.orientation) })
  }

  /// A box as X, Y, W, H.
  private func text(of box: Box, separator: String) -> String {
    [box.x0, box.y0, box.width, box.height].map { "\(Int($0.rounded()))" }.joined(separator: separator)
  }
}
