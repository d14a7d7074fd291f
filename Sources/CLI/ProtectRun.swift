import Foundation
import Kernels
import Pictures
import Synchronization
import SystemPackage
import TSDF

/// One run of `tsdf protect` over many files: every core reads, decodes, encodes and writes, while the device refines the faces of
/// several pictures together. As many pictures are in memory as there are cores, or as the device works for, however many there are in
/// all.
final class ProtectRun: Sendable {
  /// What copies are written as.
  struct Options: Sendable {
    var format = ProtectCommand.OutputFormat.keep
    var quality = 95
    /// Whether their metadata say that they are protected.
    var isMarking = true
    /// Whether files that are no pictures are copied.
    var copiesOthers = false
    /// Whether `finished` will be asked for.
    var isReported = false
  }

  private let copies: CopyFolder
  private let shard: Shard?
  private let settings: String
  private let options: Options
  private let region: ProtectedRegion

  /// What workers take turns at: what is printed, and the sums.
  private struct Shared {
    let progress: Progress
    var summary = Summary()
    var pace = ProtectPace()
    var psnr = Mean(), ssim = Mean()
    /// Those whose copies are there, where a report asks for them.
    var finished: [ProtectJob] = []
    /// The numbers of those whose copies are to be made.
    var missing: [Int] = []
  }

  private struct Mean {
    var sum = 0.0, count = 0

    mutating func add(_ value: Double?) {
      guard let value else { return }
      (sum, count) = (sum + value, count + 1)
    }

    var value: Double? { count > 0 ? sum / Double(count) : nil }
  }

  private let shared: Mutex<Shared>

  /// - Parameters:
  ///   - shard: which of the files are done; nil for all.
  ///   - settings: a digest of all that copies follow from besides their sources.
  init(
    copies: CopyFolder, shard: Shard? = nil, settings: String, region: ProtectedRegion, options: Options,
    progress: sending Progress
  ) {
    (self.copies, self.shard, self.settings, self.region, self.options) = (copies, shard, settings, region, options)
    shared = Mutex(Shared(progress: progress))
  }

  /// Protects what is not done yet, until a signal comes; a file that fails is named on stderr and the rest goes on.
  /// - Parameter protector: makes what protects, if there is anything to do.
  func protect(_ work: WorkList, with protector: () throws -> SharedProtector) throws -> Summary {
    let start = Date()
    let jobs = try ProtectJobs(
      work, names: CopyNames(in: copies), shard: shard, copiesOthers: options.copiesOthers, writtenAs: writtenKind)
    let problems = shard.map { $0.index == 0 } ?? true ? work.problems.count : 0
    shared.withLock {
      $0.pace = ProtectPace(count: jobs.mine.count)
      $0.summary.files = jobs.mine.count(where: jobs.isPicture) + problems
      $0.summary.failures = problems
      $0.summary.ownCopies = jobs.ownCopyCount
      $0.summary.leaveOut(jobs.leftOut)
      if let shard {
        $0.progress.note("shard \(shard.index) of \(shard.count): \(jobs.mine.count) of \(jobs.count) files")
      }
    }
    func forEach(_ numbers: [Int], width: Int? = nil, _ body: @escaping @Sendable (ProtectJob) throws -> Void) {
      forEachConcurrently(numbers.count, width: width) { index in
        guard !StopSignal.isPending else { return }
        self.attempt(jobs[numbers[index]], body)
      }
    }
    forEach(jobs.mine, look)
    let missing = shared.withLock { shared in
      defer { shared.missing = [] }
      return shared.missing.sorted()
    }
    let (pending, plain) = (missing.filter(jobs.isPicture), missing.filter { !jobs.isPicture($0) })
    forEach(plain) { job in
      self.finish(try self.copies.put(nil, self.entry(job), for: job.item), job, isNew: true)
    }
    if !pending.isEmpty, !StopSignal.isPending {
      let protector = try protector()
      let cores = ProcessInfo.processInfo.activeProcessorCount
      forEach(pending, width: max(cores, protector.batch)) {
        self.finish(try self.protect($0, protector), $0, isNew: true)
      }
    }
    return shared.withLock {
      $0.summary.seconds = Date().timeIntervalSince(start)
      $0.summary.imagesPerSecond = Double($0.summary.done) / max($0.summary.seconds, 1e-9)
      ($0.summary.psnr, $0.summary.ssim) = ($0.psnr.value, $0.ssim.value)
      return $0.summary
    }
  }

  /// The photos whose copies are there, in the order of the inputs.
  var finished: [ProtectReport.Photo] {
    shared.withLock { $0.finished }.sorted { $0.number < $1.number }.map {
      ProtectReport.Photo(name: $0.item.name, original: $0.item, copy: copies.folder.path.appending($0.name.components))
    }
  }

  /// What an input's copy is written as; files that are no pictures stay what they are.
  private func writtenKind(of item: WorkList.Item) -> FileKind {
    item.kind.type.map { FileKind(copyType(of: $0)) } ?? item.kind
  }

  private func copyType(of type: ImageType) -> ImageType {
    switch options.format {
    case .keep: type.copyType
    case .png: .png
    case .jpeg: .jpeg
    }
  }

  // MARK: Each input

  /// Does a part of an input's work; when that fails, it is said of which.
  private func attempt(_ job: ProtectJob, _ body: (ProtectJob) throws -> Void) {
    do {
      try body(job)
    } catch {
      let error = error as? FileError ?? FileError(job.item.path, "\(error)")
      shared.withLock {
        $0.summary.failures += 1
        $0.pace.finish(job.number, isMade: false)
        printError("\(error)")
      }
    }
    shared.withLock {
      if $0.pace.hasBegun { $0.progress.update($0.pace.text, isLast: $0.pace.isOver) }
    }
  }

  /// Finds out whether an input's copy is there, may not be made, or is to be made.
  private func look(at job: ProtectJob) throws {
    switch try copies.standing(of: job.name, for: job.item, settings: settings(for: job)) {
    case .done(let entry, let isKnown):
      if !isKnown { try copies.journal.add(entry, isDurable: false) }
      finish(entry, job, isNew: false)
    case .foreign: throw copies.refusal(job.name)
    case .absent, .replaceable, .doubtful: shared.withLock { $0.missing.append(job.number) }
    }
  }

  /// A plain copy follows from its source alone.
  private func settings(for job: ProtectJob) -> String { job.isPicture ? settings : "" }

  private func entry(_ job: ProtectJob) throws -> ProtectedFile {
    ProtectedFile(
      output: job.name, origin: job.item.origin, sourceStamp: try job.item.stamp(), settings: settings(for: job))
  }

  private func finish(_ entry: ProtectedFile, _ job: ProtectJob, isNew: Bool) {
    shared.withLock {
      $0.pace.finish(job.number, isMade: isNew && job.isPicture)
      guard job.isPicture else {
        $0.summary.copied += 1
        return
      }
      if options.isReported { $0.finished.append(job) }
      if isNew { $0.summary.done += 1 } else { $0.summary.skipped += 1 }
      $0.summary.faces += entry.faces
      if let still = entry.stillFound { $0.summary.stillFound = ($0.summary.stillFound ?? 0) + still }
      if region == .faces && entry.faces == 0 { $0.summary.withoutFace += 1 }
      $0.psnr.add(entry.psnr)
      $0.ssim.add(entry.ssim)
    }
  }

  private func note(_ item: WorkList.Item, _ text: String) {
    shared.withLock { $0.progress.note("\(FileError(item.path, text))") }
  }

  private func protect(_ job: ProtectJob, _ protector: SharedProtector) throws -> ProtectedFile {
    let (start, item) = (Date(), job.item)
    var entry = try entry(job)
    let data = try item.data()
    entry.source = sha256(data).hexadecimal
    var file = try ImageFile(data, path: item.path.shown)
    let upright = file.image.upright(from: file.orientation)
    // Not needed beside the upright one.
    file.image = upright
    for face in protector.settings.faces where face.intersection(upright.bounds) <= 0 {
      throw FileError(
        item.path,
        "has no pixel of --face \(text(of: face, separator: ",")); as viewers show it it has \(upright.width) x \(upright.height)"
      )
    }
    let type = copyType(of: file.type)
    var notes: [String] = []
    let encoding = try PictureEncoding(
      of: file, as: type, quality: options.quality, isMarking: options.isMarking, path: item.path.shown
    ) { notes = $0 }
    let result = try protector.protect(upright, encoding: encoding) { state in
      shared.withLock {
        $0.pace.inWork[job.number] = (item.path.lastComponent.map { FilePath($0).shown } ?? item.path.shown, state)
        $0.progress.update($0.pace.text)
      }
    }
    for text in file.notes + notes { note(item, text) }
    if file.isMarkedProtected {
      note(item, "was protected by tsdf before: its copy is changed twice; protect the original instead")
    }
    if region == .faces && result.faceCount == 0 { note(item, "no face found, the whole image is protected") }
    if let still = result.stillFound, !still.isEmpty {
      let places = still.map { text(of: $0, separator: " ") }.joined(separator: "; ")
      note(item, "\(still.count) of \(result.faceCount) faces are still found (x y w h): \(places)")
    }
    if !file.leftOut.isEmpty {
      shared.withLock {
        $0.summary.withoutEmbedded += 1
        $0.summary.embedded.formUnion(file.leftOut)
      }
    }
    if type.isExact {
      let (change, epsilon) = (
        try encoding.decode(result.encoded!).largestDifference(from: upright), protector.settings.epsilon
      )
      guard change <= epsilon + 1e-6 else {
        throw FileError(item.path, "the copy differs by \(change), more than the budget \(epsilon)")
      }
    }
    (entry.faces, entry.stillFound) = (result.faceCount, result.stillFound?.count)
    entry.psnr = result.psnr.isFinite ? result.psnr : nil
    entry.ssim = result.ssim.isFinite ? result.ssim : nil
    entry.seconds = Date().timeIntervalSince(start)
    return try copies.put(result.encoded!, entry, for: item)
  }

  /// A box as X, Y, W, H.
  private func text(of box: Box, separator: String) -> String {
    [box.x0, box.y0, box.width, box.height].map { "\(Int($0.rounded()))" }.joined(separator: separator)
  }
}
