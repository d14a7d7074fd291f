import Foundation
import Kernels
import Networks
import Pictures

/// Where an experiment's networks come from.
public struct PersistenceModels: Sendable {
  /// A generator by an item as recipes name it.
  public var generator: @Sendable (String, any Device) throws -> any Generator
  /// What defenders work against.
  public var detector: @Sendable (String, any Device) throws -> any FaceDetector
  /// What attackers find faces with.
  public var finder: @Sendable (String, any Device) throws -> any FaceFinder
  /// A file by its path as recipes name it.
  public var locate: @Sendable (String) -> URL
  /// The weights of a metric's network.
  public var metric: @Sendable (MetricName) -> URL

  /// Networks from these places.
  public init(
    generator: @escaping @Sendable (String, any Device) throws -> any Generator,
    detector: @escaping @Sendable (String, any Device) throws -> any FaceDetector,
    finder: @escaping @Sendable (String, any Device) throws -> any FaceFinder,
    locate: @escaping @Sendable (String) -> URL, metric: @escaping @Sendable (MetricName) -> URL
  ) {
    (self.generator, self.detector, self.finder) = (generator, detector, finder)
    (self.locate, self.metric) = (locate, metric)
  }
}

/// An experiment on persistence on one device: protects, prepares, retrains, judges, arm by arm. Whatever is done lies in its
/// folder, so that a run that was stopped, at any moment, goes on, and several runs can share the arms of one folder.
public final class PersistenceExperiment {
  let recipe: PersistenceRecipe
  let models: PersistenceModels
  let folder: URL
  let device: any Device
  /// Asked between steps.
  let shouldStop: () -> Bool
  /// Says what is being done.
  let note: (String) -> Void
  /// What recipes name, by its contents: the SHA-256 of files that results follow from.
  private var digests: [String: String] = [:]
  private let collected: Dataset
  private let clean: Dataset
  private let judged: Dataset
  private let dataset: Dataset
  private var judge: Judge?
  private var collectedImages: [Image] = []

  /// - Parameters:
  ///   - recipe: what is asked for.
  ///   - dataset: labelled aligned faces.
  ///   - models: where weights are found.
  ///   - folder: for all results.
  ///   - device: where it is done.
  ///   - shouldStop: asked between steps; where it says so the run throws `Stopped`.
  ///   - note: is told what is being done.
  /// - Throws: `RecipeError` when the recipe holds what cannot be, `FileError` where there are too few faces.
  public init(
    _ recipe: PersistenceRecipe, dataset: Dataset, models: PersistenceModels, folder: URL, device: any Device,
    shouldStop: @escaping () -> Bool = { false }, note: @escaping (String) -> Void = { _ in }
  ) throws {
    try recipe.validate()
    (self.recipe, self.dataset, self.models, self.folder) = (recipe, dataset, models, folder)
    (self.device, self.shouldStop, self.note) = (device, shouldStop, note)
    let needsClean = recipe.attackers.contains { $0.cleanShare > 0 }
    let end = recipe.firstCollected + recipe.collected * (needsClean ? 2 : 1)
    guard dataset.count >= end + recipe.holdOut else {
      throw FileError(
        "the data",
        "has \(dataset.count) faces; \(end) to craft on and to collect and \(recipe.holdOut) to judge are needed")
    }
    collected = dataset[recipe.firstCollected..<recipe.firstCollected + recipe.collected]
    clean = dataset[recipe.firstCollected + recipe.collected..<end]
    judged = dataset[dataset.count - recipe.holdOut..<dataset.count - recipe.holdOut + recipe.judged]
  }

  // MARK: What arms share

  func digest(_ path: String) throws -> String { try digest(of: models.locate(path), named: path) }

  func digest(_ metric: MetricName) throws -> String {
    try digest(of: models.metric(metric), named: metric.weights)
  }

  /// The SHA-256 of pictures.
  func digest(of images: [Image]) -> String { sha256(Data(images.flatMap { sha256(Data($0.bytes)) })).hexadecimal }

  private func digest(of url: URL, named name: String) throws -> String {
    try remembered(name) { sha256(try MappedFile(url).data).hexadecimal }
  }

  /// Of the photos before they are protected.
  func originalsDigest() throws -> String {
    try remembered("\0photos") { digest(of: try collectedPhotos() + judgedPhotos()) }
  }

  /// Of the faces that a perturbation is crafted on.
  func craftingDigest(_ recipe: CraftRecipe) throws -> String {
    try remembered("\0\(recipe.faces) faces of \(recipe.size)") { try craftingFaces(recipe).digest }
  }

  /// Of the public faces that are mixed in.
  func cleanDigest() throws -> String {
    try remembered("\0public faces") { try cleanFaces(size: recipe.size, labels: attributes).digest }
  }

  /// - Parameter name: a path, or what is none.
  private func remembered(_ name: String, _ make: () throws -> String) rethrows -> String {
    if let known = digests[name] { return known }
    let found = try make()
    digests[name] = found
    return found
  }

  /// The photos that the attacker collects, before they are protected.
  func collectedPhotos() throws -> [Image] {
    if collectedImages.isEmpty { collectedImages = try images(collected) }
    return collectedImages
  }

  func judgedPhotos() throws -> [Image] {
    try loadJudge().photos.map(\.image)
  }

  private func images(_ dataset: Dataset) throws -> [Image] {
    let host = CPUDevice()
    return try dataset.items.map { try squareImage($0.image(), size: recipe.size, device: host) }
  }

  var attributes: [String] { dataset.attributes }

  var collectedLabels: [[Float]] { collected.items.map(\.labels) }

  /// Public faces that nobody protected, of a size.
  func cleanFaces(size: Int, labels: [String]) throws -> FaceSet {
    try faces(images(clean), clean.items.map(\.labels), size: size, labels: labels)
  }

  /// Photos as they are trained on.
  func faces(_ photos: [Image], _ known: [[Float]], size: Int, labels: [String]) throws -> FaceSet {
    let host = CPUDevice()
    return FaceSet(
      images: try photos.map { try squareImage($0, size: size, device: host) }, attributes: labels,
      labels: known.map { selectLabels($0, of: attributes, named: labels) })
  }

  /// Faces to craft a perturbation on: those before what is collected.
  func craftingFaces(_ recipe: CraftRecipe) throws -> FaceSet {
    try FaceSet(dataset[0..<min(recipe.faces, self.recipe.firstCollected)], size: recipe.size)
  }

  func loadJudge() throws -> Judge {
    if let judge { return judge }
    let made = Judge(
      try loadGenerator(models.locate(recipe.generator), named: recipe.model, on: device),
      classifier: try loadClassifier(models.locate(recipe.classifier), on: device),
      networks: try MetricNetworks(recipe.judgingNetworks, from: { models.metric($0) }, on: device),
      photos: try JudgedPhotos.aligned(judged, size: recipe.size).all(), device: device)
    judge = made
    return made
  }

  /// Throws where the run is asked to stop.
  func checkStop() throws { if shouldStop() { throw Stopped() } }
}

@available(*, unavailable)
extension PersistenceExperiment: Sendable {}
