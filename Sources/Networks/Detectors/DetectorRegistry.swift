import Foundation
import Kernels

/// All that finds faces, by name, and where its weights come from: what adding one takes, besides its own files. A `FaceDetector` can
/// be worked against, another `FaceFinder` only judges.
private let finders: [(name: String, type: any FaceFinder.Type, weights: WeightsOrigin)] =
  [
    (RetinaFace.name, RetinaFace.self, .fetched), (RetinaFace.residualName, RetinaFace.self, .checkpoint),
    (S3FD.name, S3FD.self, .checkpoint), (DSFD.name, DSFD.self, .checkpoint), (MTCNN.name, MTCNN.self, .fetched),
    (CenterFace.name, CenterFace.self, .fetched), (YuNet.name, YuNet.self, .converted),
    (DlibCNN.name, DlibCNN.self, .fetched), (DlibHOG.name, DlibHOG.self, .fetched),
  ] + BlazeFace.names.map { ($0, BlazeFace.self, .fetched) }
  + UltraLight.names.map { ($0, UltraLight.self, .converted) } + [(Haar.name, Haar.self, .fetched)]

/// Where weights come from.
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
    case .fetched: "tools/fetch-models gets it"
    case .checkpoint: "its weights are yours to bring (.pth files are read as they are)"
    case .converted:
      "its weights are yours to bring (.pth files are read as they are, tools/convert-detector reads ONNX files)"
    }
  }
}

/// The names of all that finds faces: the detectors, and judges that protection cannot work against.
public let finderNames = finders.map(\.name)

/// The names of the detectors, which protection can work against.
public let detectorNames = finders.filter { $0.type is any FaceDetector.Type }.map(\.name)

/// The names of those whose weights tools/fetch-models gets.
package let fetchedDetectorNames = finders.filter { $0.weights == .fetched && $0.type is any FaceDetector.Type }
  .map(\.name)

/// What finds faces under a name, from the file in `directory` that `finderFile` says.
/// - Throws: `FileError` when the name or the file is unknown, or the file is another model's.
public func loadFinder(_ name: String, from directory: URL, on device: any Device) throws -> any FaceFinder {
  try finderType(name).init(contentsOf: finderFile(name, in: directory), on: device)
}

/// The same of a detector, which protection can work against: its weights from `directory/NAME.safetensors`, or `.pth`, `.pt`, `.ckpt`.
/// - Throws: `FileError` when the name or the file is unknown, or the file is another model's.
public func loadDetector(_ name: String, from directory: URL, on device: any Device) throws -> any FaceDetector {
  try detectorType(name).init(contentsOf: finderFile(name, in: directory), on: device)
}

/// The detector of a name, its weights from a safetensors file or a PyTorch checkpoint.
/// - Throws: `FileError` when the name is unknown, or the file is none or another model's.
public func loadDetector(_ name: String, weights url: URL, on device: any Device) throws -> any FaceDetector {
  try detectorType(name).init(contentsOf: url, on: device)
}

/// The file that a name is read from: the first of `directory/NAME.EXTENSION` that is there, of the type's `fileExtensions`.
/// - Throws: `FileError` when there is none, or the name is unknown.
package func finderFile(_ name: String, in directory: URL) throws -> URL {
  let (type, weights) = try finder(name)
  let candidates = type.fileExtensions.map { directory.appendingPathComponent("\(name).\($0)") }
  guard let url = candidates.first(where: { FileManager.default.fileExists(atPath: $0.path) }) else {
    throw FileError(candidates[0].path, "does not exist; \(weights.advice)")
  }
  return url
}

/// The type that finds faces under a name.
/// - Throws: `FileError` when there is none.
package func finderType(_ name: String) throws -> any FaceFinder.Type { try finder(name).type }

/// The type of a detector that protection can work against.
/// - Throws: `FileError` when there is none of the name, or it only judges.
package func detectorType(_ name: String) throws -> any FaceDetector.Type {
  guard let type = try finderType(name) as? any FaceDetector.Type else {
    throw FileError(
      name,
      "only judges: it has no gradient, so nothing can be made or refined against it; there are "
        + detectorNames.joined(separator: ", "))
  }
  return type
}

/// The row of a name.
private func finder(_ name: String) throws -> (type: any FaceFinder.Type, weights: WeightsOrigin) {
  guard let (_, type, weights) = finders.first(where: { $0.name == name }) else {
    throw FileError(name, "is no detector; there are \(finderNames.joined(separator: ", "))")
  }
  return (type, weights)
}
