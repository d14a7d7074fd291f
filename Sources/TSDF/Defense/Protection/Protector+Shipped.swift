import Foundation
import Kernels
import Networks
import Pictures

extension ProtectionSettings {
  /// As `tsdf protect` has them by default.
  public static var standard: ProtectionSettings {
    var settings = ProtectionSettings()
    (settings.refineSteps, settings.smoothShare) = (Protector.defaultSteps, ProtectionLevel.standard.smoothShare)
    return settings
  }
}

extension Protector {
  /// The generators that protection works against unless others are asked for: those that perturbations were found to break.
  public static let defaultGenerators = [StarGANGenerator.name, AttentionGANGenerator.name]

  /// A protector as `tsdf protect` has it by default.
  /// - Parameters:
  ///   - weights: the folder of the shipped weights: the generators', the classifier's, the denoiser's, the perturbation's.
  ///   - models: the folder of detectors that tools/fetch-models fills.
  ///   - settings: their budget is at most the perturbation's.
  ///   - device: where the networks go.
  /// - Throws: `FileError` naming a file that is not there or is another's.
  public convenience init(weights: URL, models: URL, settings: ProtectionSettings = .standard, on device: any Device)
    throws
  {
    let (perturbation, epsilon, _) = try loadPerturbation(
      weights.appendingPathComponent("perturbation.safetensors"), on: device)
    var settings = settings
    settings.epsilon = min(settings.epsilon, epsilon)
    let detectors = try Self.defaultDetectors.map { try loadDetector($0, from: models, on: device) }
    let refiner =
      settings.refineSteps > 0
      ? try Refiner(
        generators: Self.defaultGenerators.map {
          try loadGenerator(weights.appendingPathComponent("\($0).safetensors"), named: $0, on: device)
        },
        detectors: detectors,
        classifier: loadClassifier(weights.appendingPathComponent("classifier.safetensors"), on: device),
        denoiser: weights.appendingPathComponent("adversarial-denoiser.safetensors"), device: device)
      : nil
    try self.init(
      perturbation: perturbation, settings: settings, detectors: detectors, refiner: refiner, device: device)
  }

  /// Protects the picture of a file.
  /// - Parameters:
  ///   - file: the file that is copied.
  ///   - type: of the copy; nil for the file's own, or PNG where that is not written.
  ///   - quality: of types that lose something, 1 to 100.
  ///   - note: told how far it is.
  /// - Returns: the copy's bytes, and what was done to the picture.
  public func protect(
    _ file: ImageFile, as type: ImageType? = nil, quality: Int = 95, note: (ProtectionProgress) -> Void = { _ in }
  ) throws -> (copy: Data, result: ProtectionResult) {
    let encoding = try PictureEncoding(of: file, as: type, quality: quality, path: "the picture")
    let result = try protect(file.image.upright(from: file.orientation), encoding: encoding, note: note)
    return (result.encoded!, result)
  }
}
