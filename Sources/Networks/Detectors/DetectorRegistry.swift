import Foundation
import Kernels

/// All detectors by name, and where their weights come from: what adding one takes, besides its own files.
private let detectors: [(name: String, type: any FaceDetector.Type, weights: WeightsOrigin)] =
  [
    (RetinaFace.name, RetinaFace.self, .fetched), (RetinaFace.residualName, RetinaFace.self, .checkpoint),
    (S3FD.name, S3FD.self, .checkpoint), (DSFD.name, DSFD.self, .checkpoint), (MTCNN.name, MTCNN.self, .fetched),
    (CenterFace.name, CenterFace.self, .fetched), (YuNet.name, YuNet.self, .converted),
    (DlibCNN.name, DlibCNN.self, .fetched), (DlibHOG.name, DlibHOG.self, .fetched),
  ] + BlazeFace.names.map { ($0, BlazeFace.self, .fetched) }
  + UltraLight.names.map { ($0, UltraLight.self, .converted) }

/// Where a detector's weights come from.
private enum WeightsOrigin {
  /// From tools/fetch-models.
  case fetched
  /// From the user, as PyTorch writes them.
  case checkpoint
  /// From the user, as PyTorch or ONNX has them.
  case converted

  /// What to do where they are missing.
  var advice: String {
    switch self {
    case .fetched: fetchedAdvice
    case .checkpoint: "its weights are yours to bring (.pth files are read as they are)"
    case .converted:
      "its weights are yours to bring (.pth files are read as they are, tools/convert-detector reads ONNX files)"
    }
  }
}

/// The names of all detectors.
public let detectorNames = detectors.map(\.name)

/// The names of all that finds faces: the detectors, and judges that protection cannot work against.
public let finderNames = detectorNames + [Haar.name]

/// The names of those whose weights tools/fetch-models gets.
package let fetchedDetectorNames = detectors.filter { $0.weights == .fetched }.map(\.name)

/// What finds faces under a name: a detector as `loadDetector` has it, or Haar's cascade from `directory/haar.xml`.
/// - Throws: `FileError` when the name or the file is unknown, or the file is another model's.
public func loadFinder(_ name: String, from directory: URL, on device: any Device) throws -> any FaceFinder {
  guard name == Haar.name else { return try loadDetector(name, from: directory, on: device) }
  let url = directory.appendingPathComponent("\(name).xml")
  guard FileManager.default.fileExists(atPath: url.path) else {
    throw FileError(url.path, "does not exist; \(fetchedAdvice)")
  }
  return try Haar(contentsOf: url)
}

/// The detector of a name, its weights from `directory/NAME.safetensors`, or `.pth`, `.pt`, `.ckpt`.
/// - Throws: `FileError` when the name or the file is unknown, or the file is another model's.
public func loadDetector(_ name: String, from directory: URL, on device: any Device) throws -> any FaceDetector {
  try requireDetector(name)
  return try loadDetector(name, weights: detectorWeights(name, in: directory), on: device)
}

private let fetchedAdvice = "tools/fetch-models gets it"

/// The file of a detector's weights.
/// - Throws: `FileError` when there is none.
package func detectorWeights(_ name: String, in directory: URL) throws -> URL {
  let candidates = ["safetensors", "pth", "pt", "ckpt"].map { directory.appendingPathComponent("\(name).\($0)") }
  guard let url = candidates.first(where: { FileManager.default.fileExists(atPath: $0.path) }) else {
    throw FileError(candidates[0].path, "does not exist; \(try requireDetector(name).weights.advice)")
  }
  return url
}

/// The detector of a name, its weights from a safetensors file or a PyTorch checkpoint.
/// - Throws: `FileError` when the name is unknown, or the file is none or another model's.
public func loadDetector(_ name: String, weights url: URL, on device: any Device) throws -> any FaceDetector {
  let type = try requireDetector(name).type
  return try type.init(StateDictionary.read(url, under: type.checkpointKeys, on: device).state)
}

/// The type of a detector, and where its weights come from.
/// - Throws: `FileError` when there is none of the name.
@discardableResult
private func requireDetector(_ name: String) throws -> (type: any FaceDetector.Type, weights: WeightsOrigin) {
  guard name != Haar.name else {
    throw FileError(name, "only judges: it has no gradient, so nothing can be made or refined against it")
  }
  guard let (_, type, weights) = detectors.first(where: { $0.name == name }) else {
    throw FileError(name, "is no detector; there are \(detectorNames.joined(separator: ", "))")
  }
  return (type, weights)
}
