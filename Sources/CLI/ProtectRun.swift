import Foundation
import Kernels
import Pictures
import TSDF

/// One run of `tsdf protect` over many files: every core reads, decodes, encodes and writes, while the device works for one
/// picture at a time. As many pictures are in memory as there are cores, however many there are in all.
final class ProtectRun: @unchecked Sendable {
  /// What was done.
  struct Summary: Encodable {
    var files = 0, done = 0, skipped = 0, failures = 0
    var faces = 0, withoutFace = 0
    /// Faces that refinement was to hide, and that are still found in the protected pictures.
    var stillFound = 0
    var psnr = Double.nan, ssim = Double.nan
    var seconds = 0.0, imagesPerSecond = 0.0
  }

  private let protector: Protector
  private let settings: ProtectionSettings
  private let settingsHash: String
  private let folder: URL
  private let format: ProtectCommand.OutputFormat
  private let quality: Int
  private let progress: Progress
  private let journal: Journal

  /// Guards everything below, the journal and what is printed.
  private let lock = NSLock()
  private var summary = Summary()
  private var outputs: Set<String> = []
  private var finished = 0, finite = 0
  private var psnrSum = 0.0, ssimSum = 0.0

  init(
    protector: Protector, settings: ProtectionSettings, settingsHash: String, folder: URL,
    format: ProtectCommand.OutputFormat, quality: Int, progress: Progress
  ) {
    (self.protector, self.settings, self.settingsHash) = (protector, settings, settingsHash)
    (self.folder, self.format, self.quality, self.progress) = (folder, format, quality, progress)
    journal = Journal(folder: folder)
  }

  /// Protects what is not done yet; a file that fails is named on stderr and the rest goes on.
  func protect(_ work: WorkList) -> Summary {
    summary.files = work.items.count + work.failures.count
    summary.failures = work.failures.count
    let start = Date()
    let next = Counter()
    let workers = min(work.items.count, ProcessInfo.processInfo.activeProcessorCount)
    DispatchQueue.concurrentPerform(iterations: workers) { _ in
      while true {
        let index = next.increment()
        guard index < work.items.count else { return }
        handle(work.items[index], of: work.items.count, since: start)
      }
    }
    summary.seconds = Date().timeIntervalSince(start)
    summary.imagesPerSecond = Double(summary.done) / max(summary.seconds, 1e-9)
    summary.psnr = psnrSum / Double(finite)
    summary.ssim = ssimSum / Double(summary.done + summary.skipped)
    return summary
  }

  private func handle(_ item: WorkList.Item, of count: Int, since start: Date) {
    do {
      let name = outputName(item)
      let isNew = lock.withLock { outputs.insert(name).inserted }
      guard isNew else {
        throw FileError(item.url.path, "would have the same name as another input's copy, \(name)")
      }
      let data = try ImageFile.data(of: item.url)
      let source = sha256(data).hexadecimal
      let before = lock.withLock { journal.finished(output: name, source: source, settings: settingsHash) }
      let entry = try before ?? protect(item, data, as: name, source)
      try lock.withLock {
        if before == nil {
          try journal.add(entry)
          summary.done += 1
        } else {
          summary.skipped += 1
        }
        summary.faces += entry.faces
        summary.stillFound += entry.stillFound ?? 0
        if settings.region == .faces && entry.faces == 0 { summary.withoutFace += 1 }
        if let psnr = entry.psnr {
          psnrSum += psnr
          finite += 1
        }
        ssimSum += entry.ssim
      }
    } catch {
      lock.withLock {
        summary.failures += 1
        printError("\(error)")
      }
    }
    lock.withLock {
      finished += 1
      let pace = Date().timeIntervalSince(start) / Double(finished)
      progress.update(
        String(
          format: "%d/%d images  %.2f s each, %.0f s to go", finished, count, pace, pace * Double(count - finished)),
        isLast: finished == count)
    }
  }

  private func outputName(_ item: WorkList.Item) -> String {
    guard format != .keep, ImageType(pathExtension: item.url.pathExtension)?.rawValue != format.rawValue else {
      return item.relativePath
    }
    let base = (item.relativePath as NSString).deletingPathExtension
    return base + (format == .png ? ".png" : ".jpg")
  }

  private func protect(_ item: WorkList.Item, _ data: Data, as name: String, _ source: String) throws -> Journal.Entry {
    let start = Date()
    var file = try ImageFile(data, path: item.url.path)
    if let note = file.note { lock.withLock { progress.note("\(item.url.path): \(note)") } }
    let upright = file.image.upright(from: file.orientation)
    let result = try protector.protect(upright)
    if settings.region == .faces && result.faceCount == 0 {
      lock.withLock { progress.note("\(item.url.path): no face found, the whole image is protected") }
    }
    if let still = result.stillFoundCount, still > 0 {
      lock.withLock { progress.note("\(item.url.path): \(still) of \(result.faceCount) faces are still found") }
    }
    file.image = result.image.stored(as: file.orientation)
    let type = format == .keep ? file.type : (format == .png ? .png : .jpeg)
    let target = folder.appendingPathComponent(name)
    try writeAtomically(try file.encoded(as: type, quality: quality), to: target)
    if type == .png {
      let change = try ImageFile(contentsOf: target).image.upright(from: file.orientation).largestDifference(
        from: upright)
      guard change <= settings.epsilon + 1e-6 else {
        throw FileError(target.path, "differs by \(change) from the original, more than the budget \(settings.epsilon)")
      }
    }
    return Journal.Entry(
      output: name, source: source, settings: settingsHash, faces: result.faceCount, stillFound: result.stillFoundCount,
      psnr: result.psnr.isFinite ? result.psnr : nil, ssim: result.ssim, seconds: Date().timeIntervalSince(start))
  }
}

/// Numbers from 0 on, each handed out once.
final class Counter: @unchecked Sendable {
  private let lock = NSLock()
  private var next = 0

  func increment() -> Int {
    lock.withLock {
      defer { next += 1 }
      return next
    }
  }
}
