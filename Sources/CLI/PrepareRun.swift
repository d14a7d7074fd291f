import Foundation
import Kernels
import Pictures
import Synchronization
import SystemPackage
import TSDF

/// One run of `tsdf prepare` over many photos: every core reads, decodes, cuts out, encodes and writes, while the
/// device works for one photo at a time. When all photos are done, it is decided in their order which crops stay, and
/// the lists are written: nothing depends on which photo was done first, or on how often the run was interrupted.
final class PrepareRun: Sendable {
  /// What was done.
  struct Summary: Encodable, Sendable {
    var counts: PreparationManifest.Summary
    /// Photos that this run worked on, and that were done before.
    var done = 0, skipped = 0
    var seconds = 0.0

    private enum Key: CodingKey { case done, skipped, seconds }

    func encode(to encoder: any Encoder) throws {
      try counts.encode(to: encoder)
      var values = encoder.container(keyedBy: Key.self)
      try values.encode(done, forKey: .done)
      try values.encode(skipped, forKey: .skipped)
      try values.encode(seconds, forKey: .seconds)
    }

    var text: String {
      let overlap = counts.meanIoU.map { String(format: ", mean IoU %.3f", $0) } ?? ""
      return """
        \(counts.photos) photos: \(counts.kept) kept, \(counts.lost) lost, \(counts.junk) junk, \(counts.faceless) without \
        a face, \(counts.failed) failed; \(done) done now, \(skipped) before
        \(counts.crops) crops, \(counts.junkCrops) of them junk\(overlap); dropped: \(counts.duplicates) duplicates, \
        \(counts.blurred) blurred
        """
    }
  }

  private let preparation: FacePreparation
  private let selection: CropSelection
  private let truth: FaceTruth?
  private let collection: PhotoCollection
  private let folder: OutputFolder
  private let journal: Journal<PreparedPhoto>
  /// The crops' names without `-N.png`, and the photos that share theirs with an earlier one.
  private let stems: [String]
  private let repeated: Set<Int>

  /// What workers take turns at.
  private struct Shared {
    let progress: Progress
    /// What was made of each photo; nil where that is not done, or failed.
    var photos: [PreparedPhoto?]
    /// Photos that this run worked on.
    var worked: Set<Int> = []
    var finished = 0
  }

  private let shared: Mutex<Shared>

  init(
    preparation: FacePreparation, selection: CropSelection, truth: FaceTruth?, collection: PhotoCollection,
    folder: OutputFolder, journal: Journal<PreparedPhoto>, progress: sending Progress
  ) {
    (self.preparation, self.selection, self.truth) = (preparation, selection, truth)
    (self.collection, self.folder, self.journal) = (collection, folder, journal)
    stems = collection.items.map { "images/" + ($0.name as NSString).deletingPathExtension }
    // Names that look alike may be of other bytes, and texts would not tell.
    var seen: Set<FilePath> = []
    let isFirst = stems.map { seen.insert(FilePath($0)).inserted }
    repeated = Set(isFirst.indices.filter { !isFirst[$0] })
    shared = Mutex(
      Shared(
        progress: progress, photos: [PreparedPhoto?](repeating: nil, count: collection.items.count)))
  }

  /// Cuts out what is not done yet; a photo that fails is named on stderr and the rest goes on.
  /// - Throws: `FileError` when a list cannot be written.
  func prepare() throws -> Summary {
    let start = Date()
    let settings = Data(try canonicalJSON(preparation.settings).utf8)
    forEachConcurrently(collection.items.count) { [self] index in
      guard !StopSignal.isPending else { return }
      attempt(index) { try self.cutOut(index, settings) }
      shared.withLock {
        $0.finished += 1
        $0.progress.update(images: $0.finished, of: collection.items.count, since: start)
      }
    }
    if StopSignal.isPending { note("stopped; the same command goes on") }
    try StopSignal.exitIfPending()
    let reasons = selection.reasons(shared.withLock { $0.photos })
    forEachConcurrently(collection.items.count) { [self] index in
      attempt(index) { try self.settle(index, reasons[index]) }
    }
    let (photos, worked) = shared.withLock { ($0.photos, $0.worked) }
    let manifest = PreparationManifest(
      zip(collection.items.map(\.name), photos).map { ($0, $1) }, reasons: reasons)
    try write(manifest, photos, reasons)
    var summary = Summary(counts: manifest.summary, seconds: Date().timeIntervalSince(start))
    summary.counts.photos += collection.failures.count
    summary.counts.failed += collection.failures.count
    for (index, photo) in photos.enumerated() where photo != nil {
      if worked.contains(index) { summary.done += 1 } else { summary.skipped += 1 }
    }
    return summary
  }

  /// Does a part of a photo's work; when that fails, it is said, and nothing is made of the photo.
  private func attempt(_ index: Int, _ body: () throws -> Void) {
    do {
      try body()
    } catch {
      shared.withLock {
        $0.photos[index] = nil
        printError("\(error)")
      }
    }
  }

  // MARK: Photos

  /// Finds a photo's faces and writes their crops, unless that is done.
  private func cutOut(_ index: Int, _ settings: Data) throws {
    let item = collection.items[index]
    guard !repeated.contains(index) else {
      throw FileError(item.path, "would have crops of the same names as another input's, \(stems[index])-N.png")
    }
    let data = try item.data()
    let known = try truth?.source(of: item.name)
    let hashes = (
      source: sha256(data).hexadecimal,
      settings: sha256(settings + Data((try known?.fingerprint ?? "").utf8)).hexadecimal
    )
    let before = shared.withLock {
      $0.photos[index] = journal.finished(FilePath(item.name), source: hashes.source, settings: hashes.settings)
      return $0.photos[index]
    }
    guard before == nil else { return }
    let photo = try decoded(item, data)
    let boxes = try known.map { try preparation.boxes(of: $0, width: photo.width, height: photo.height) }
    var prepared = PreparedPhoto(
      photo: item.name, source: hashes.source, settings: hashes.settings, width: photo.width,
      height: photo.height, truth: boxes, crops: [])
    var pngs: [Data] = []
    for face in preparation.chosen(try preparation.faces(in: photo)) {
      let image = preparation.crop(face.detection, from: photo)
      pngs.append(try encodePNG(image))
      prepared.crops.append(
        PreparedCrop(
          file: "\(stems[index])-\(pngs.count).png", digest: sha256(pngs[pngs.count - 1]).hexadecimal, face: face,
          quality: try CropQuality(of: image), iou: boxes.map { $0.map { $0.iou(face.detection.box) }.max() ?? 0 }))
    }
    if prepared.crops.isEmpty { note("\(FileError(item.path, "no face found"))") }
    try requireOwnPlaces(prepared)
    try finish(prepared, at: index)
    for (crop, png) in zip(prepared.crops, pngs) { try folder.write(png, to: FilePath(crop.file)) }
  }

  /// Refuses to replace files that no run made: those that no line of the journal speaks of, unless they are what is to be written.
  private func requireOwnPlaces(_ prepared: PreparedPhoto) throws {
    let own = Set(journal.lines(of: prepared.key).flatMap(\.crops).map(\.file))
    for crop in prepared.crops where !own.contains(crop.file) && !isIntact(crop) {
      guard try folder.status(of: FilePath(crop.file)) == nil else {
        throw FileError(
          folder.path.appending(crop.file), "is there already, and no run of this command made it; it is left as it is")
      }
    }
  }

  /// Writes down what a photo gives, before it is put in its place: a rerun makes what is missing then. What it gave under other
  /// settings goes.
  private func finish(_ prepared: PreparedPhoto, at index: Int) throws {
    let files = Set(prepared.crops.map(\.file))
    let before = journal.lines(of: prepared.key).flatMap(\.crops)
    try journal.add(prepared)
    for crop in before where !files.contains(crop.file) { remove(crop) }
    shared.withLock {
      $0.photos[index] = prepared
      $0.worked.insert(index)
    }
  }

  /// Removes a photo's crops that do not stay, and makes those anew that are missing or damaged.
  private func settle(_ index: Int, _ reasons: [CropSelection.Reason?]) throws {
    let (photo, isNew) = shared.withLock { ($0.photos[index], $0.worked.contains(index)) }
    guard var prepared = photo else { return }
    for (crop, reason) in zip(prepared.crops, reasons) where reason != nil { remove(crop) }
    let missing = prepared.crops.indices.filter {
      !isNew && reasons[$0] == nil && !isIntact(prepared.crops[$0])
    }
    guard !missing.isEmpty else { return }
    let item = collection.items[index]
    let image = try decoded(item, try item.data())
    let pngs = try missing.map { try encodePNG(preparation.crop(prepared.crops[$0].face.detection, from: image)) }
    for (crop, png) in zip(missing, pngs) { prepared.crops[crop].digest = sha256(png).hexadecimal }
    try finish(prepared, at: index)
    for (crop, png) in zip(missing, pngs) { try folder.write(png, to: FilePath(prepared.crops[crop].file)) }
  }

  private func decoded(_ item: WorkList.Item, _ data: Data) throws -> Image {
    let file = try ImageFile(data, path: item.path.shown)
    for text in file.notes { note("\(FileError(item.path, text))") }
    return try preparation.photo(file)
  }

  private func note(_ text: String) { shared.withLock { $0.progress.note(text) } }

  // MARK: Files

  private func isIntact(_ crop: PreparedCrop) -> Bool {
    (try? folder.read(FilePath(crop.file)) { try sha256(of: $0) }) == crop.digest
  }

  /// Removes a crop, but nothing that a journal from elsewhere may name outside of the crops' folder.
  private func remove(_ crop: PreparedCrop) {
    if crop.file.hasPrefix("images/") { folder.remove(FilePath(crop.file)) }
  }

  /// Writes the lists, and last the journal: as long as that has not the last word, a rerun does all of this again.
  private func write(_ manifest: PreparationManifest, _ photos: [PreparedPhoto?], _ reasons: [[CropSelection.Reason?]])
    throws
  {
    var list = AttributeList(attributes: collection.attributes)
    var files: Set<String> = []
    for (index, photo) in photos.enumerated() {
      for (crop, reason) in zip(photo?.crops ?? [], reasons[index]) where reason == nil {
        files.insert(crop.file)
        if let labels = collection.labels[index] {
          list.append(String(crop.file.dropFirst("images/".count)), labels: labels)
        }
      }
    }
    // Of photos that were among the inputs of an earlier run.
    for crop in journal.entries.flatMap(\.crops) where !files.contains(crop.file) { remove(crop) }
    if list.files.isEmpty {
      folder.remove("list_attr.txt")
    } else {
      try folder.write(Data(list.text.utf8), to: "list_attr.txt")
    }
    try folder.write(Data(try manifest.jsonLines().utf8), to: "manifest.jsonl")
    try folder.write(Data(manifest.csv().utf8), to: "manifest.csv")
    try journal.rewrite(photos.compactMap { $0 })
  }
}
