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
    /// Files whose copies are without what the files hold beside their pictures, and what that is.
    var withoutEmbedded = 0, embedded = LeftOut()
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
    var finished = 0, finite = 0
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
    forEachConcurrently(work.items.count) { handle(work.items[$0], of: work.items.count, since: start) }
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

  private func handle(_ item: WorkList.Item, of count: Int, since start: Date) {
    do {
      let data = try ImageFile.data(of: item.url)
      let name = outputName(item, ImageType(data))
      let isNew = shared.withLock { $0.outputs.insert(name).inserted }
      guard isNew else {
        throw FileError(item.url.path, "would have the same name as another input's copy, \(name)")
      }
      let source = sha256(data).hexadecimal
      let isThere = FileManager.default.fileExists(atPath: folder.appendingPathComponent(name).path)
      let before = shared.withLock {
        isThere ? $0.journal.finished(name, source: source, settings: settingsHash) : nil
      }
      let entry = try before ?? protect(item, data, as: name, source)
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
      $0.finished += 1
      $0.progress.update(images: $0.finished, of: count, since: start)
    }
  }

  private func note(_ text: String) { shared.withLock { $0.progress.note(text) } }

  /// The input's name, with another ending where the copy is of another type.
  private func outputName(_ item: WorkList.Item, _ type: ImageType?) -> String {
    guard let type, copyType(of: type) != type else { return item.relativePath }
    return (item.relativePath as NSString).deletingPathExtension + "." + copyType(of: type).pathExtensions[0]
  }

  private func copyType(of type: ImageType) -> ImageType {
    switch format {
    case .keep: type.copyType
    case .png: .png
    case .jpeg: .jpeg
    }
  }

  private func protect(_ item: WorkList.Item, _ data: Data, as name: String, _ source: String) throws -> ProtectedFile {
    let start = Date()
    var file = try ImageFile(data, path: item.url.path)
    let upright = file.image.upright(from: file.orientation)
    let result = try protector.protect(upright)
    if settings.region == .faces && result.faceCount == 0 {
      note("\(item.url.path): no face found, the whole image is protected")
    }
    if let still = result.stillFoundCount, still > 0 {
      note("\(item.url.path): \(still) of \(result.faceCount) faces are still found")
    }
    file.image = result.image.stored(as: file.orientation)
    let type = copyType(of: file.type)
    let target = folder.appendingPathComponent(name)
    let copy = try file.copy(as: type, quality: quality, path: item.url.path)
    for text in file.notes + copy.notes { note("\(item.url.path): \(text)") }
    if !file.leftOut.isEmpty {
      shared.withLock {
        $0.summary.withoutEmbedded += 1
        $0.summary.embedded.formUnion(file.leftOut)
      }
    }
    try writeAtomically(copy.data, to: target)
    if type.isExact {
      let change = try ImageFile(contentsOf: target).image.upright(from: file.orientation).largestDifference(
        from: upright)
      guard change <= settings.epsilon + 1e-6 else {
        throw FileError(target.path, "differs by \(change) from the original, more than the budget \(settings.epsilon)")
      }
    }
    return ProtectedFile(
      output: name, source: source, settings: settingsHash, faces: result.faceCount, stillFound: result.stillFoundCount,
      psnr: result.psnr.isFinite ? result.psnr : nil, ssim: result.ssim, seconds: Date().timeIntervalSince(start))
  }
}
