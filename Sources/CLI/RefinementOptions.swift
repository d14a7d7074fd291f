import ArgumentParser
import Foundation
import Kernels
import Networks
import TSDF

extension RefinementStart: ExpressibleByArgument {}
extension ProtectionLevel: ExpressibleByArgument {}

/// How refinement goes about its steps.
struct RefinementOptions: ParsableArguments {
  @Option(
    help: """
      gentle, standard or strong: how much of the largest change flat places get, where it shows most. \
      \(ProtectionLevel.allCases.map { "\($0.rawValue): \($0.smoothShare)" }.joined(separator: ", ")).
      """) var level = ProtectionLevel.standard
  @Option(
    help: """
      What refinement looks at pictures through, so that it does not undo the steps: a list as of evaluate's --purify, without average \
      and component, or none. denoise is \(Denoiser.adversarial) here.
      """) var through = Refiner.defaultViews
  @Option(help: "What refinement begins with: random (of each picture its own) or universal (the perturbation).")
  var start = RefinementStart.random
  @Option(
    help: """
      Tells which attributes a face has, and so which edits of it generators make, where generators are refined against. (default: \
      \(AttributeClassifier.shipped))
      """) var classifier: String?
  @Option(
    name: [.customLong("batch-size"), .customLong("batch")],
    help: """
      Photos whose faces are refined together, or auto: \(Refiner.processorBatch) on a processor, \(Refiner.gpuBatch) on a GPU. \
      What comes out is the same but for rounding.
      """) var batchSize = BatchSize.auto
  @Option(help: "What refinement makes detectors do: hide (miss faces), flood (find false ones) or both.")
  var detectorGoal = DetectorGoal.both

  func validate() throws {
    try require("--batch-size", batchSize.count, 1...4096)
    guard try views().allSatisfy({ !$0.learnsFromOthers }) else {
      throw ValidationError("--through: average and component cannot be crafted through")
    }
  }

  /// What refinement looks through.
  func views() throws -> [PurificationRecipe] {
    do throws(PurifierError) {
      return through == "none" ? [] : try PurificationRecipe.list(through)
    } catch {
      throw ValidationError("--through: \(error)")
    }
  }

  /// What that does.
  func viewIdentities() throws -> [String] { try views().map { try $0.identity(denoiser: Denoiser.adversarial) } }

  private var classifierURL: URL { locate(classifier ?? AttributeClassifier.shipped) }

  /// Settings with what was asked for.
  /// - Throws: where the classifier's file cannot be read.
  func apply(to settings: inout ProtectionSettings) throws {
    (settings.start, settings.smoothShare) = (start, level.smoothShare)
    if settings.refineSteps > 0 { settings.classifier = sha256(try Data(contentsOf: classifierURL)).hexadecimal }
  }

  func loadClassifier(on device: any Device) throws -> AttributeClassifier {
    try Networks.loadClassifier(classifierURL, on: device)
  }

  func refiner(
    generators: [any Generator], detectors: [any FaceDetector], on device: any Device
  ) throws -> Refiner {
    try Refiner(
      generators: generators, detectors: detectors,
      classifier: generators.isEmpty ? nil : loadClassifier(on: device), goal: detectorGoal,
      views: views(), denoiser: locate(Denoiser.adversarial), batch: batchSize.count, device: device)
  }
}
