import ArgumentParser
import Foundation
import Kernels
import TSDF

struct EvaluateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate", abstract: "Judge protections on held-out faces: generators' edits, detectors, visibility.",
    discussion: """
      Judges each perturbation as it is and, with --refine, refined for each face; after JPEG too with --jpeg. Prints a \
      table; --output writes report.json, report.csv and sheet.png (original, protected, difference x10, edit of the \
      original, edit of the protected, detections on both).
      """)

  @Option(help: "A labelled folder (list_attr*.txt) or a folder of face images.") var data: String
  @Option(
    name: [.customLong("perturbation"), .customLong("compare")], parsing: .upToNextOption,
    help: "Perturbations to judge, in one table. (default: weights/perturbation.safetensors)")
  var perturbation: [String] = []
  @Flag(help: "Also judge unprotected faces (only JPEG changes them).") var clean = false
  @Flag(help: "Also judge uniform random noise of the first perturbation's budget.") var noise = false
  @Option(help: "Also judge the last perturbation with this many steps of refinement for each face.") var refine = 0
  @Option(
    help: """
      The generators that refinement works against, as in --generators. (default: those judged that protect works \
      against by default, else all judged)
      """) var refineGenerators: String?
  @Option(help: "The detectors that refinement works against, separated by commas, or none.")
  var refineDetectors = RetinaFace.name
  @Option(help: "What refinement makes detectors do: hide (miss faces), flood (find false ones) or both.")
  var detectorGoal = DetectorGoal.both
  @Option(parsing: .upToNextOption, help: "Also judge after JPEG of these qualities.") var jpeg: [Int] = []
  @Option(help: "Judge only the last this many faces of the data; 0 for all.") var holdOut = 480
  @Option(help: "At most this many faces.") var count = 100
  @Option(help: "image: the data are aligned faces; faces: photos, whose faces are cut out.")
  var region = ProtectedRegion.image
  @Option(help: "Pixels a side that faces are brought to.") var size = 256
  @Option(help: "Detectors, separated by commas, or none.") var detectors = fetchedDetectorNames.joined(separator: ",")
  @Option(
    help: """
      Inception v3's weights as pytorch-fid has them (pt_inception-2015-12-05.pth), for the Frechet inception distance \
      between the edits; without them that column is left out.
      """) var inception: String?
  @Option(help: "The run's random seed.") var seed: UInt64 = 1
  @Option(name: .shortAndLong, help: "A folder for report.json, report.csv and sheet.png.") var output: String?
  @Flag(help: "The report as JSON on stdout instead of the table.") var json = false
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    if count < 1 || size < 64 { throw ValidationError("--count must be at least 1, --size at least 64") }
    if refine < 0 || holdOut < 0 { throw ValidationError("--refine and --hold-out must not be negative") }
    if !jpeg.allSatisfy((1...100).contains) { throw ValidationError("--jpeg takes qualities from 1 to 100") }
  }

  private struct Report: Encodable {
    var tsdf: String, data: String
    var holdOut: Int, size: Int, seed: UInt64
    var perturbations: [String: String]
    var variants: [VariantReport]
  }

  private func generatorsToRefine(_ judged: [(name: String, generator: any Generator)], on device: any Device) throws
    -> [any Generator]
  {
    if let refineGenerators {
      return try GeneratorOptions.load(items(of: refineGenerators), on: device).map(\.generator)
    }
    let breakable = judged.map(\.generator).filter { GeneratorOptions.breakable.contains(type(of: $0).name) }
    return breakable.isEmpty ? judged.map(\.generator) : breakable
  }

  func run() throws {
    let device = try common.openDevice()
    let progress = common.progress
    let generators = try generatorOptions.load(on: device)
    let found = try models.loadDetectors(detectors, on: device)
    let dataset = try loadFaces(data)
    let first = holdOut > 0 ? max(0, dataset.count - holdOut) : 0
    let chosen = dataset[first..<min(dataset.count, first + count)]
    if region == .faces && found.isEmpty { throw ValidationError("--region faces needs a detector") }
    let faces =
      region == .faces
      ? try FaceSet(facesIn: chosen, size: size, detector: found[0].detector, device: device)
      : try FaceSet(chosen, size: size)

    var variants: [ProtectionVariant] = []
    var hashes: [String: String] = [:]
    for path in perturbation.isEmpty ? ["weights/perturbation.safetensors"] : perturbation {
      let url = locate(path)
      let (universal, epsilon, recipe) = try loadPerturbation(url, on: device)
      let name = url.deletingPathExtension().lastPathComponent
      hashes[name] = sha256(try Data(contentsOf: url))
      var adaptation = ProtectionVariant.Adaptation.none
      if let recipe, recipe.method == .pgd {
        adaptation = .pgd(
          ImagePGD(generators: generators.map(\.generator), recipe: recipe, device: device), steps: recipe.imageSteps)
      }
      variants.append(
        ProtectionVariant(name: name, perturbation: universal, epsilon: epsilon, adaptation: adaptation))
    }
    if refine > 0, let last = variants.last {
      variants.append(
        ProtectionVariant(
          name: "\(last.name) + \(refine) steps", perturbation: last.perturbation, epsilon: last.epsilon,
          adaptation: .refined(steps: refine)))
    }
    if noise {
      let epsilon = variants[0].epsilon
      var random = RandomStream(seed: seed)
      let shape = variants[0].perturbation!.shape
      let values = try random.uniform(shape, in: -epsilon..<epsilon, device: device)
      variants.insert(ProtectionVariant(name: "noise", perturbation: values, epsilon: epsilon), at: 0)
    }
    if clean { variants.insert(ProtectionVariant(name: "none", perturbation: nil, epsilon: 0), at: 0) }

    let refiner = try Refiner(
      generators: try generatorsToRefine(generators, on: device),
      detectors: refine > 0 ? try models.loadDetectors(refineDetectors, on: device).map(\.detector) : [],
      goal: detectorGoal, device: device)
    let evaluator = Evaluator(
      generators: generators, detectors: found, refiner: refiner,
      inception: try inception.map {
        try InceptionV3(StateDictionary.read(URL(fileURLWithPath: $0), on: device).state)
      }, seed: seed, device: device)
    let report = { (phase: String, done: Int) in progress.update("\(phase): \(done)/\(faces.count) faces") }
    let baseline = try evaluator.baseline(faces, progress: report)
    var reports: [VariantReport] = []
    var shown: [Image] = []
    for variant in variants {
      let (found, images) = try evaluator.evaluate(variant, baseline, jpegQualities: jpeg, progress: report)
      reports += found
      shown = images
    }
    let whole = try jsonText(
      Report(
        tsdf: tsdfVersion, data: data, holdOut: holdOut, size: size, seed: seed, perturbations: hashes,
        variants: reports))
    print(json ? whole : EvaluationTable.text(reports))
    if let output {
      let folder = URL(fileURLWithPath: output)
      try writeAtomically(Data(whole.utf8), to: folder.appendingPathComponent("report.json"))
      try writeAtomically(Data(EvaluationTable.csv(reports).utf8), to: folder.appendingPathComponent("report.csv"))
      let sheet = try evaluator.sheet(baseline, protected: shown, rows: 6)
      try writeAtomically(encodePNG(sheet), to: folder.appendingPathComponent("sheet.png"))
    }
    try common.reportProfile(of: device)
  }
}
