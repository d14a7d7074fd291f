import ArgumentParser
import Foundation
import Kernels
import Networks
import SystemPackage
import TSDF

/// Where the weights of detectors and metrics are.
struct DetectorOptions: ParsableArguments {
  @Option(help: "The folder with the weights of detectors and metrics. (default: TSDF_MODELS, else models)")
  var models: String?

  /// The folder of the weights.
  var directory: URL {
    locate(models ?? ProcessInfo.processInfo.environment["TSDF_MODELS"] ?? "models")
  }

  /// Where the weights of a metric's network are.
  func weights(of metric: MetricName) -> URL { directory.appendingPathComponent("\(metric.weights).safetensors") }

  func loadDetector(_ name: String, on device: any Device) throws -> any FaceDetector {
    try requireDetector(name)
    return try Networks.loadDetector(name, from: directory, on: device)
  }

  func loadFinder(_ name: String, on device: any Device) throws -> any FaceFinder {
    try requireFinder(name)
    return try Networks.loadFinder(name, from: directory, on: device)
  }

  /// Detectors from a comma-separated list; "none" or an empty list gives none.
  func loadDetectors(_ names: String, on device: any Device) throws -> [(name: String, detector: any FaceDetector)] {
    try items(of: names).map { ($0, try loadDetector($0, on: device)) }
  }

  /// The same of what need only find faces.
  func loadFinders(_ names: String, on device: any Device) throws -> [(name: String, detector: any FaceFinder)] {
    try items(of: names).map { ($0, try loadFinder($0, on: device)) }
  }
}

/// Refuses what is no name of a generator.
func requireGenerator(_ name: String) throws {
  guard generatorNames.contains(name) else {
    throw ValidationError("there is no generator \(name); there are \(generatorNames.joined(separator: ", "))")
  }
}

/// Refuses what is no detector's name that protection can work against.
func requireDetector(_ name: String) throws {
  do { _ = try detectorType(name) } catch { throw ValidationError("\(error)") }
}

/// Refuses what is no name of anything that finds faces.
func requireFinder(_ name: String) throws {
  do { _ = try finderType(name) } catch { throw ValidationError("\(error)") }
}

/// Which generators to work with.
struct GeneratorOptions: ParsableArguments {
  @Option(
    help: """
      Generators, separated by commas, or none: names (\(generatorNames.joined(separator: ", "))) for \
      weights/NAME.safetensors, files that say which they are, or NAME=FILE. (default: protect, bench refine: stargan,attentiongan; craft: the recipe's; others: all)
      """) var generators: String?

  /// The generators, each under a name of its own.
  func load(default names: [String] = generatorNames, on device: any Device) throws -> [(
    name: String, generator: any Generator
  )] {
    try Self.load(generators.map(items(of:)) ?? names, on: device)
  }

  /// The generators that items of a list as of `--generators` name.
  static func load(_ items: [String], on device: any Device) throws -> [(name: String, generator: any Generator)] {
    var found: [(name: String, generator: any Generator)] = []
    for item in items {
      let generator = try loadGenerator(item, on: device)
      var name = type(of: generator).name
      if found.contains(where: { $0.name == name }) { name += " \(found.count + 1)" }
      found.append((name, generator))
    }
    return found
  }
}

/// The items of a list of models separated by commas; "none" stands for no model.
func items(of list: String) -> [String] {
  list.split(separator: ",").map(String.init).filter { $0 != "none" }
}

/// A generator by name, file, or NAME=FILE.
func loadGenerator(_ item: String, on device: any Device) throws -> any Generator {
  let (name, url) = try generatorFile(item)
  return try Networks.loadGenerator(url, named: name, on: device)
}

/// The file of a generator by name, file, or NAME=FILE, and the name if one is given.
func generatorFile(_ item: String) throws -> (name: String?, url: URL) {
  let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
  let isName = generatorNames.contains(parts[0])
  let url = locate(isName ? parts.count > 1 ? parts[1] : "weights/\(item).safetensors" : item)
  guard parts.last?.isEmpty == false, FileManager.default.fileExists(atPath: url.path) else {
    throw FileError(item, "does not exist; a generator is a name, the file of its weights, or NAME=FILE")
  }
  return (isName ? parts[0] : nil, url)
}

/// The SHA-256 of a file.
func fileDigest(_ url: URL) throws -> String { try withRegularFile(FilePath(url.path)) { try sha256(of: $0) } }
