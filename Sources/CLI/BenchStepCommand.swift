import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import TSDF

struct BenchStepCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "step",
    abstract: "One whole step, timed once for every line on stdin: for tools/compare-with-pytorch.",
    discussion:
      "Writes the step's results to OUTPUT once, then prints the seconds of each run, and the peak memory at the end.")

  enum Step: String, ExpressibleByArgument, CaseIterable {
    case gradient, craft, retinaface, mtcnn, train
  }

  @Argument(
    help: """
      gradient (a generator's, to the image), craft (a joint step against all generators and detectors), retinaface, mtcnn \
      (what they say of every prior) or train (a generator step with its critic steps).
      """) var step: Step
  @Option(help: "A safetensors file with x, and c or reference for generators.") var input: String
  @Option(help: "Where the results go.") var output: String
  @Option(help: "The discriminator of a training step, whose generator is the only one of --generators, NAME=FILE.")
  var critic: String?
  @Option(help: "Detectors of a crafting step, separated by commas.") var detectors = "retinaface,mtcnn"
  @OptionGroup var generatorOptions: GeneratorOptions
  @OptionGroup var models: DetectorOptions
  @OptionGroup var gradientOptions: GradientOptions
  @OptionGroup var common: CommonOptions

  func run() throws {
    let device = try common.openDevice()
    let source = try Safetensors(contentsOf: URL(fileURLWithPath: input))
    let x = try source.tensor("x", on: device)
    let body: () throws -> [String: Tensor]
    /// The generators, and what they are asked for.
    func generators() throws -> [(any Generator, Condition)] {
      try generatorOptions.load(on: device).map { _, generator in
        (generator, try generator.condition(from: { try source.tensor($0, on: device) }, tag: 0))
      }
    }
    switch step {
    case .gradient:
      let (generator, condition) = try generators()[0]
      body = {
        let leaf = x.requiringGradient()
        let y = try generator(leaf, condition: condition).image
        return ["y": y.detached(), "x.grad": try gradients(of: y.squared().mean(), withRespectTo: [leaf])[0]]
      }
    case .craft:
      let targets = try generators().map { generator, condition in
        (generator, condition, try generator(x, condition: condition).image)
      }
      let found = try models.loadDetectors(detectors, on: device).map(\.detector)
      let start = try source.tensor("start", on: device)
      body = { try ["w": craftStep(x, start: start, targets, found)] }
    case .retinaface, .mtcnn:
      let detector = try models.loadDetector(step.rawValue, on: device)
      body = {
        let heads = try detector.heads(x)
        return ["conf": heads.confidence, "loc": heads.location]
      }
    case .train:
      let trainer = try trainer(x, labels: source.tensor("c", on: device), on: device)
      body = {
        _ = try trainer.trainStep(reporting: false)
        return [:]
      }
    }
    let step = { try Autograd.keeping(gradientOptions.keptPrecision ?? .single, body) }
    try Safetensors.write(step(), to: URL(fileURLWithPath: output))
    try device.synchronize()
    while readLine() != nil {
      let start = DispatchTime.now().uptimeNanoseconds
      let made = try step()
      try device.synchronize()
      withExtendedLifetime(made) {}
      // Unbuffered: the reader waits for each.
      let seconds = Double(DispatchTime.now().uptimeNanoseconds - start) * 1e-9
      try FileHandle.standardOutput.write(contentsOf: Data("\(seconds)\n".utf8))
    }
    try common.reportProfile(of: device)
    // A GPU's memory is its own.
    let isGPU = (device as? OpenCLDevice)?.info.kind == .gpu
    print(isGPU ? device.memory.peak : peakResidentBytes())
  }

  /// One joint step on a universal perturbation: the gradient of the edit's squared change (ascending) and of each
  /// detector's softplus of face margins (descending), each at unit mean magnitude, added; then a sign step and the budget.
  private func craftStep(
    _ x: Tensor, start: Tensor, _ generators: [(any Generator, Condition, clean: Tensor)],
    _ detectors: [any FaceDetector]
  ) throws -> Tensor {
    let image = try (x + start).clamped(to: -1...1).requiringGradient()
    var total: Tensor?
    func add(_ loss: Tensor) throws {
      let found = try gradients(of: loss, withRespectTo: [image])[0].sum(axes: [0], keepingAxes: true)
      let unit = try found.atUnitMagnitude()
      total = try total.map { try $0 + unit } ?? unit
    }
    for (generator, condition, clean) in generators {
      try add(-generator(image, condition: condition).image.meanSquaredError(to: clean))
    }
    for detector in detectors { try add(detector.heads(image).margins().softplus().mean()) }
    return try (start - total!.sign() * 0.01).clamped(to: -0.05...0.05)
  }

  /// Training that goes on from given networks on the faces x, labelled a, b, c and so on.
  private func trainer(_ x: Tensor, labels: Tensor, on device: any Device) throws -> Trainer {
    let item = generatorOptions.generators?.split(separator: "=", maxSplits: 1).map(String.init) ?? []
    guard item.count == 2, let critic else {
      throw ValidationError("train takes --generators NAME=FILE and --critic FILE")
    }
    let names = (0..<labels.shape[1]).map { String(UnicodeScalar(UInt8(97 + $0))) }
    let files = TrainingStart.Files(
      generator: URL(fileURLWithPath: item[1]), critic: URL(fileURLWithPath: critic), imageSize: x.shape[2])
    let start = try TrainingStart(files, named: item[0], on: device)
    var recipe = try TrainingRecipe(defaultsOf: item[0])
    (recipe.batch, recipe.attributes) = (x.shape[0], names)
    if item[0] == HiSDGenerator.name { recipe.tags = "\(names[0]);\(names[1])" }
    let values = try labels.values()
    let rows = (0..<x.shape[0]).map { Array(values[$0 * names.count..<($0 + 1) * names.count]) }
    return try Trainer(
      recipe, from: start, data: TrainingData(FaceSet(images: Image.images(from: x), attributes: names, labels: rows)),
      device: device)
  }
}
