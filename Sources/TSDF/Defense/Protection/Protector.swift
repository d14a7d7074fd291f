import Foundation
import Kernels
import Networks
import Pictures

/// Lays a universal perturbation on pictures, or one that is made for each by steps of refinement. It belongs to one thread at a time, with its device;
/// `SharedProtector` serves several.
public final class Protector {
  /// The detectors that faces are hidden from unless others are asked for. Each more takes time, and budget from all: with
  /// CenterFace too, AttentionGAN's edits of a face in a photo stayed whole.
  public static let defaultDetectors = [RetinaFace.name]
  /// Steps of refinement unless others are asked for.
  public static let defaultSteps = 100

  /// How it protects.
  public let settings: ProtectionSettings
  /// How many pictures are best in work at once.
  public var batch: Int { settings.refineSteps > 0 ? refiner?.batch ?? 1 : 1 }
  private let perturbation: Tensor
  private let detectors: [any FaceDetector]
  private let refiner: Refiner?
  let device: any Device
  /// Views smaller than this are not refined.
  private let smallestRefinedSide = 48
  /// What whole pictures of the last few sizes and formats are moved by, oldest first: a collection's are often alike.
  private var wholeMoves: [(size: [Int], moves: [Int16])] = []
  private let keptMoves = 32 << 20
  /// What is refined now, by the number that its protection knows; and how many there were.
  private var refinements: [Int: Refinement] = [:]
  private var begunCount = 0

  /// - Parameters:
  ///   - perturbation: the universal one, [1, 3, size, size], in units of [-1, 1].
  ///   - settings: how much is changed, where, and in how many steps.
  ///   - detectors: find the faces, each those that others miss; at least one unless the region is the image.
  ///   - refiner: needed when steps are asked for.
  ///   - device: where the networks are.
  /// - Throws: `KernelsError.usage` without a detector or a refiner that is needed, or with a budget that is none.
  public init(
    perturbation: Tensor, settings: ProtectionSettings, detectors: [any FaceDetector], refiner: Refiner?,
    device: any Device
  ) throws {
    guard settings.epsilon > 0, settings.epsilon <= 1 else {
      throw KernelsError.usage("the budget is \(settings.epsilon); it must be above 0 and at most 1")
    }
    guard settings.region == .image || !detectors.isEmpty else {
      throw KernelsError.usage("finding faces needs a detector")
    }
    guard settings.refineSteps == 0 || refiner != nil else { throw KernelsError.usage("refinement needs a refiner") }
    // The universal perturbation was made for its own budget; a smaller one clips it.
    self.perturbation = try perturbation.clamped(to: -settings.epsilon...settings.epsilon)
    (self.settings, self.detectors, self.refiner, self.device) = (settings, detectors, refiner, device)
  }

  /// Protects an upright picture.
  /// - Parameters:
  ///   - image: upright.
  ///   - encoding: how it is saved; nil for exactly.
  ///   - note: told how far it is.
  public func protect(
    _ image: Image, encoding: PictureEncoding? = nil, note: (ProtectionProgress) -> Void = { _ in }
  ) throws -> ProtectionResult {
    try protect([image], encoding: encoding, note: note)[0]
  }

  /// Protects upright pictures, whose faces are refined together: each comes out as it would alone.
  public func protect(
    _ images: [Image], encoding: PictureEncoding? = nil, note: (ProtectionProgress) -> Void = { _ in }
  ) throws -> [ProtectionResult] {
    var protections = images.map { Protection($0, budget: settings.epsilon) }
    var results = [ProtectionResult?](repeating: nil, count: images.count)
    var open = Array(images.indices)
    defer { for index in images.indices { abandon(&protections[index]) } }
    for index in open { try begin(&protections[index], note: note) }
    while !open.isEmpty {
      while let next = open.first(where: { protections[$0].isInRound }) {
        // All go on together; those that are done with a region begin with the next.
        try proceed(with: &protections[next], note: note)
        for index in open { try settle(&protections[index], note: note) }
      }
      for index in open {
        results[index] = try protections[index].concluded(as: encoding) {
          try judge(&$0, as: $1, view: encoding?.view, note: note)
        }
      }
      open.removeAll { results[$0] != nil }
    }
    return results.map { $0! }
  }

  /// Looks for faces that are still found in the picture as it is saved: another round, unless it had enough of them.
  /// - Parameter view: what saving does to pictures.
  func judge(
    _ protection: inout Protection, as saved: Image, view: PurificationRecipe?, note: (ProtectionProgress) -> Void
  ) throws {
    let found = try refiner!.detectors.flatMap { try faces(in: saved, $0) }.map(\.box)
    let still = protection.regions.map { region in
      region.faces.filter { face in found.contains { $0.isOfSameFace(as: face) } }
    }
    protection.stillFound = still.flatMap { $0 }
    let again = still.indices.filter { !still[$0].isEmpty }
    guard !again.isEmpty, protection.rounds < RefinementRound.all.count else {
      protection.isJudged = false
      return
    }
    try beginRound(again, of: &protection, view: view, note: note)
  }

  /// Finds the faces, and begins to make a patch for each region.
  func begin(_ protection: inout Protection, note: (ProtectionProgress) -> Void) throws {
    let image = protection.image
    let hidesFaces = settings.refineSteps > 0 && refiner?.hidesFaces == true
    let faces =
      switch settings.region {
      case .faces: try allFaces(in: image)
      case .image: hidesFaces ? try faces(in: image, foundBy: refiner!.detectors) : []
      }
    protection.faceCount = faces.count
    protection.regions =
      faces.isEmpty || settings.region == .image
      ? [Region(wholeOf: image, faces: faces)]
      : faces.map { Region(around: $0, margin: settings.margin, extent: settings.changedExtent) }
    if faces.isEmpty, settings.refineSteps == 0, image.bytes.count <= keptMoves {
      protection.moves = try moves(ofWhole: image)
      return
    }
    protection.work.patches = protection.regions.map { _ in nil }
    protection.isJudged = faces.count > 0 && hidesFaces
    try beginRound(Array(protection.regions.indices), of: &protection, view: nil, note: note)
  }

  /// The faces of a picture that any detector finds, and those given, without doubles.
  private func allFaces(in image: Image) throws -> [Box] {
    let found = try faces(in: image, foundBy: detectors)
    let given = settings.faces.filter { $0.intersection(image.bounds) > 0 }
    return found.filter { box in !given.contains { $0.isOfSameFace(as: box) } } + given
  }

  /// The faces of a picture that any of some detectors finds, without doubles.
  private func faces(in image: Image, foundBy detectors: [any FaceDetector]) throws -> [Box] {
    try distinctFaces(detectors.flatMap { try faces(in: image, $0) }).map(\.box)
  }

  /// The faces that a detector finds in a picture.
  private func faces(in image: Image, _ detector: any FaceDetector) throws -> [Detection] {
    try detector.detectAll(in: image, longestSide: settings.longestSide, on: device).filter {
      // Nothing is of the size of several pictures.
      $0.box.intersection(image.bounds) >= 1
        && max($0.box.width, $0.box.height) <= 4 * Float(max(image.width, image.height))
    }
  }

  /// What the universal perturbation moves a whole picture by.
  private func moves(ofWhole image: Image) throws -> [Int16] {
    let size = [image.width, image.height, image.channels, image.bitDepth, image.isNeutral ? 1 : 0]
    if let known = wholeMoves.first(where: { $0.size == size }) { return known.moves }
    let moves = image.moves(
      of: try perturbation.resized(toHeight: image.height, width: image.width).values(), budget: settings.epsilon)
    wholeMoves.append((size, moves))
    while wholeMoves.reduce(0, { $0 + $1.moves.count }) > keptMoves { wholeMoves.removeFirst() }
    return moves
  }

  // MARK: Rounds

  /// Makes or goes on with the patches of some regions, one after the other: each sees those before it.
  private func beginRound(
    _ regions: [Int], of protection: inout Protection, view: PurificationRecipe?, note: (ProtectionProgress) -> Void
  ) throws {
    let seed = settings.seed &+ (settings.refineSteps == 0 ? 0 : protection.image.seed) &+ UInt64(protection.rounds)
    protection.round = Protection.Round(regions: regions, seed: seed, view: view)
    try beginRegion(of: &protection, note: note)
  }

  /// Takes all that this protector refines a few steps further, and lays on the picture what is done.
  func proceed(with protection: inout Protection, note: (ProtectionProgress) -> Void) throws {
    if protection.refinement == nil { try beginRegion(of: &protection, note: note) }
    if protection.refinement.map({ !refinements[$0]!.isDone }) ?? protection.isInRound {
      try refiner!.advance(refinements.sorted { $0.key < $1.key }.map(\.value))
    }
    try settle(&protection, note: note)
  }

  /// Lays on the picture what is done, and begins with the next region.
  func settle(_ protection: inout Protection, note: (ProtectionProgress) -> Void) throws {
    guard let number = protection.refinement else { return }
    let own = refinements[number]!
    guard own.isDone else { return note(progress(of: protection, step: own.step)) }
    let index = protection.round.regions[protection.round.done]
    let place = place(of: protection.regions[index], in: protection.image)
    protection.work.patches[index] = Patch(
      place: place.patch, planes: try place.patch.part.relative(to: place.view).cut(own.delta()).values())
    abandon(&protection)
    protection.endRegion()
    try beginRegion(of: &protection, note: note)
  }

  /// Gives up what is held for a picture.
  func abandon(_ protection: inout Protection) {
    if let number = protection.refinement { refinements[number] = nil }
    protection.refinement = nil
  }

  /// Begins to refine the next region that is to be refined. Where memory is short while others are refined it waits for one of them.
  private func beginRegion(of protection: inout Protection, note: (ProtectionProgress) -> Void) throws {
    while protection.isInRound {
      if settings.refineSteps > 0 { note(progress(of: protection, step: 0)) }
      let index = protection.round.regions[protection.round.done]
      do {
        if let begun = try refinement(of: index, in: &protection) {
          refinements[begunCount] = begun
          protection.refinement = begunCount
          begunCount += 1
          return
        }
      } catch KernelsError.outOfMemory where !refinements.isEmpty {
        device.trim()
        return
      }
      protection.endRegion()
    }
  }

  private func progress(of protection: Protection, step: Int) -> ProtectionProgress {
    let (regions, done) = (protection.round.regions.count, protection.round.done)
    func steps(_ round: Int) -> Int { RefinementRound.all[round].steps(of: settings.refineSteps) }
    // Rounds that are still to come are not known of.
    let (round, own) = (protection.rounds, steps(protection.rounds))
    let before = (0..<round).reduce(0) { $0 + steps($1) }
    let share = (Double(done) + Double(step) / Double(max(own, 1))) / Double(regions)
    return ProtectionProgress(
      faces: regions, face: done + 1, steps: own, step: step, round: round,
      fraction: (Double(before) + Double(own) * share) / Double(max(before + own, 1)))
  }

  /// Where a region's patch lies, and what is in view of it while it is refined.
  private func place(of region: Region, in image: Image) -> (patch: PatchPlace, view: ImagePart) {
    let place = PatchPlace(region, height: image.height, width: image.width)
    return (
      place, place.view(around: Int(Self.surroundings), grid: Int(Self.grid), height: image.height, width: image.width)
    )
  }

  /// The refinement of a region; nil for one that gets the universal perturbation, as it has then.
  private func refinement(of index: Int, in protection: inout Protection) throws -> Refinement? {
    let (region, work) = (protection.regions[index], protection.work)
    let (place, view) = place(of: region, in: protection.image)
    guard settings.refineSteps > 0, let refiner, min(view.rows.count, view.columns.count) >= smallestRefinedSide else {
      if protection.work.patches[index] == nil {
        let universal = try universal(in: region, place)
        protection.work.patches[index] = Patch(
          place: place,
          planes: try
            (region.isWhole
            ? universal : universal * Visibility.square(region.box, place, device: device)).values())
      }
      return nil
    }
    let part = place.part.relative(to: view)
    let given = PatchPlace(
      region.box, factor: place.factor, height: protection.image.height, width: protection.image.width)
    let (height, width) = (view.rows.count, view.columns.count)
    let picture = try work.tensor(
      of: view.box.scaled(x: Float(place.factor), y: Float(place.factor)), height, width, without: index, on: device)
    func placed(_ values: Tensor) throws -> Tensor {
      try values.padded(
        top: part.rows.lowerBound, bottom: height - part.rows.upperBound, left: part.columns.lowerBound,
        right: width - part.columns.upperBound)
    }
    let frames =
      region.isWhole
      ? nil
      : try refiner.detectors.map {
        try self.frames(
          of: $0, face: region.faces[0], place, in: work, without: index, isThorough: protection.rounds > 0)
          ?? [DetectorFrame(picture, part: part)]
      }
    let start: Tensor? =
      if let before = work.patches[index] {
        try Tensor(before.planes, shape: [1, 3, place.height, place.width], device: device)
      } else if settings.start == .universal {
        try universal(in: region, place)
      } else { nil }
    let inside =
      try region.isWhole
      ? part.mask(height: height, width: width, device: device)
      : placed(Visibility.square(region.changed, place, device: device))
    return try refiner.refinement(
      of: picture, start: start.map(placed), within: part, given: given.part.relative(to: view),
      frames: frames,
      share: settings.smoothShare < 1
        ? inside * Visibility.texture(picture, smoothShare: settings.smoothShare) : inside,
      round: RefinementRound.all[protection.rounds], saved: protection.round.view, steps: settings.refineSteps,
      epsilon: settings.epsilon, seed: protection.round.seed)
  }

  /// The universal perturbation at a region's size, cut to where its patch lies.
  private func universal(in region: Region, _ place: PatchPlace) throws -> Tensor {
    func length(_ pixels: Float) -> Int { max(1, Int((pixels / Float(place.factor)).rounded(.up))) }
    let whole = try perturbation.resized(toHeight: length(region.box.height), width: length(region.box.width))
    /// Cut or padded along an axis to so many values from an offset on.
    func fitted(_ x: Tensor, axis: Int, offset: Float, count: Int) throws -> Tensor {
      let first = Int((offset / Float(place.factor)).rounded())
      let range = max(0, first)..<max(max(0, first), min(x.shape[axis], first + count))
      let before = max(0, -first)
      return try x.sliced(axis: axis, range).padded(axis: axis, before: before, after: count - before - range.count)
    }
    let rows = try fitted(
      whole, axis: 2, offset: Float(place.rows.lowerBound) - region.box.y0, count: place.height)
    return try fitted(
      rows, axis: 3, offset: Float(place.columns.lowerBound) - region.box.x0, count: place.width)
  }
}

@available(*, unavailable)
extension Protector: Sendable {}

extension Image {
  /// A number that follows from the samples: of each picture its own.
  fileprivate var seed: UInt64 {
    bytes.withUnsafeBytes { bytes in
      let data = Data(
        bytesNoCopy: UnsafeMutableRawPointer(mutating: bytes.baseAddress!), count: bytes.count, deallocator: .none)
      return sha256(data).leadingNumber
    }
  }
}
