import Kernels
import Networks

/// An attacker who protects clean faces himself: the generator learns to make of the protected face, and still of the clean one,
/// what it made of the clean one before. Mean absolute errors; no critic.
struct PairedObjective<Model: Generator>: GeneratorObjective {
  private(set) var generator: Model
  var adaptation = Adaptation()
  /// The generator as it was.
  private let teacher: Model

  init(_ generator: Model) throws {
    teacher = generator
    self.generator = generator
    // Optimisers work in place.
    self.generator.parameters = try generator.parameters.mapValues { try $0.copy() }
  }

  func trainedModel() throws -> Model { try adaptation.applied(to: generator) }

  var state: [String: [String: Tensor]] {
    get { ["G": generator.parameters, "patch": adaptation.patches] }
    set { (generator.parameters, adaptation.patches) = (newValue["G"]!, newValue["patch"]!) }
  }

  mutating func step(_ run: TrainingRun) throws -> [LossPart] {
    guard let originals = run.data.originals else { throw KernelsError.usage("pairs need the originals of the faces") }
    let indices = (0..<run.recipe.batch).map { _ in run.random.integer(below: run.data.collectedCount) }
    let (collected, clean) = try run.pairs(indices, originals)
    // Ascending, as generators with tags want them.
    let edits = indices.map { _ in run.random.integer(below: generator.edits.count) }.sorted()
    let labels = indices.map { run.faces.labels(of: $0, named: generator.attributes) }
    let condition = try teacher.condition(edits, labels: labels, random: &run.random, device: run.device)
    let target = try run.slicer.map(count: run.recipe.batch) {
      [try teacher(clean.slice($0), condition: condition.slice($0)).image]
    }[0]
    let leaves = adaptation.leaves(of: generator)
    return try run.update([("G", leaves)]) { range in
      let student = try adaptation.applied(leaves, to: generator)
      func error(_ images: Tensor) throws -> Tensor {
        try student(images.slice(range), condition: condition.slice(range)).image
          .meanAbsoluteError(to: target.slice(range))
      }
      let (protected, plain) = (try error(collected), try error(clean))
      let total = try protected + plain
      return TrainingLoss(total, [("g.pair", protected), ("g.clean", plain), ("g.total", total)])
    }
  }
}
