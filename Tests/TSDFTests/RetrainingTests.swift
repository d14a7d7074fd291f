import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// Training that goes on from given networks, as an attacker's does.
final class RetrainingTests: XCTestCase {
  private let device: any Device = try! selectDevice().device
  private let folder = try! TemporaryFolder()

  private func faces(_ shade: Int = 31, count: Int = 6) -> FaceSet {
    let images = (0..<count).map { n in
      Image(width: 16, height: 16, channels: 3, bytes: (0..<768).map { UInt8(($0 * 7 + n * shade) % 256) })
    }
    return FaceSet(
      images: images, attributes: ["A", "B"],
      labels: images.indices.map { [Float($0 % 2), Float($0 % 3 == 0 ? 1 : 0)] })
  }

  private func recipe(_ model: String) throws -> TrainingRecipe {
    var recipe = try TrainingRecipe(defaultsOf: model)
    (recipe.imageSize, recipe.width, recipe.blocks, recipe.hiddenCount) = (16, 4, 2, 8)
    (recipe.discriminatorWidth, recipe.discriminatorLayers, recipe.batch, recipe.criticSteps) = (4, 2, 3, 2)
    (recipe.steps, recipe.decaySteps, recipe.tags) = (4, 0, model == "hisd" ? "A;B" : "")
    return recipe
  }

  /// A generator and its critic after a step, in a checkpoint.
  private func trained(_ model: String) throws -> URL {
    var recipe = try recipe(model)
    recipe.attributes = ["A", "B"]
    let trainer = try Trainer(recipe, faces: faces(), device: device)
    _ = try trainer.trainStep(reporting: false)
    let url = folder.url.appendingPathComponent("\(model).checkpoint")
    try trainer.writeCheckpoint(to: url)
    return url
  }

  private func makeTrainer(
    _ model: String, critic: Bool = true, data: TrainingData? = nil, _ change: (inout TrainingRecipe) -> Void = { _ in }
  ) throws -> Trainer {
    var recipe = try recipe(model)
    recipe.retraining = RetrainingRecipe()
    change(&recipe)
    let url = try trained(model)
    let start = try TrainingStart(.init(generator: url, critic: critic ? url : nil), on: device)
    return try Trainer(recipe, from: start, data: data ?? TrainingData(faces(53)), device: device)
  }

  private func values(_ trainer: Trainer) throws -> [String: [Float]] {
    try trainer.generator.parameters.mapValues { try $0.values() }
  }

  /// From a checkpoint with both networks, and resumed in the middle: the same bits.
  func testGoesOnAndResumes() throws {
    for model in generatorNames {
      let whole = try makeTrainer(model)
      XCTAssertEqual(whole.warmUpStepsLeft, 0)
      let before = try values(whole)
      for _ in 0..<2 { _ = try whole.trainStep(reporting: false) }
      let half = try makeTrainer(model)
      _ = try half.trainStep(reporting: false)
      let checkpoint = folder.url.appendingPathComponent("half")
      try half.writeCheckpoint(to: checkpoint)
      let resumed = try makeTrainer(model)
      try resumed.restore(from: checkpoint)
      _ = try resumed.trainStep(reporting: false)
      XCTAssertEqual(try values(resumed), try values(whole), model)
      XCTAssertNotEqual(try values(whole), before, model)
      XCTAssertEqual(try whole.generator.edits.count, model == "hisd" ? 4 : 2)
    }
  }

  /// An average of the weights is what is used; a checkpoint holds both.
  func testAveragesWeights() throws {
    for model in generatorNames {
      let raw = try makeTrainer(model) { $0.averaging = 0 }
      let averaged = try makeTrainer(model) { $0.averaging = 0.75 }
      var expected = try values(averaged)
      for step in 0..<2 {
        let resumed = try makeTrainer(model) { $0.averaging = 0.75 }
        if step > 0 {
          let checkpoint = folder.url.appendingPathComponent("averaged")
          try averaged.writeCheckpoint(to: checkpoint)
          try resumed.restore(from: checkpoint)
        }
        for trainer in [raw, averaged, resumed] { _ = try trainer.trainStep(reporting: false) }
        for (name, weights) in try values(raw) {
          expected[name] = zip(expected[name]!, weights).map { $0 * 0.75 + $1 * 0.25 }
        }
        let found = try values(averaged)
        XCTAssertEqual(found.keys, expected.keys)
        for (name, value) in found {
          XCTAssertLessThan(relativeError(value, expected[name]!), 1e-6, "\(model) \(name)")
        }
        XCTAssertNotEqual(found, try values(raw), model)
        XCTAssertEqual(try values(resumed), found, model)
      }
    }
  }

  /// Without a critic one is trained first, and the generator waits.
  func testWarmsUpACritic() throws {
    for model in generatorNames {
      func start() throws -> Trainer { try makeTrainer(model, critic: false) { $0.retraining!.warmUpSteps = 3 } }
      let trainer = try start()
      XCTAssertEqual(trainer.warmUpStepsLeft, 3)
      let before = try values(trainer)
      var losses: [[String: Float]] = []
      for _ in 0..<3 {
        losses.append(Dictionary(uniqueKeysWithValues: try trainer.trainStep()!.map { ($0.name, $0.value) }))
      }
      XCTAssertEqual(trainer.step, 0)
      XCTAssertEqual(trainer.warmUpStepsLeft, 0)
      XCTAssertTrue(losses.allSatisfy { $0["d.total"] != nil && $0["g.total"] == nil }, "\(losses)")
      let after = try values(trainer)
      // Nothing of the generator moved, neither what its norms remember.
      for (name, value) in after { XCTAssertEqual(value, before[name], name) }
      let checkpoint = folder.url.appendingPathComponent("warm")
      try trainer.writeCheckpoint(to: checkpoint)
      let resumed = try start()
      try resumed.restore(from: checkpoint)
      XCTAssertEqual(resumed.warmUpStepsLeft, 0)
      _ = try resumed.trainStep(reporting: false)
      _ = try trainer.trainStep(reporting: false)
      XCTAssertEqual(try values(resumed), try values(trainer), model)
    }
  }

  /// Patches change convolutions alone, frozen parameters stay, and a checkpoint holds the patches.
  func testPatchesAndFrozenParameters() throws {
    for model in generatorNames {
      let patched = try makeTrainer(model) {
        ($0.retraining!.rank, $0.learningRate) = (2, 1e-2)
      }
      let before = try values(patched)
      for _ in 0..<3 { _ = try patched.trainStep(reporting: false) }
      let after = try values(patched)
      let parameters = try patched.generator.parameters
      // HiSD's average still comes nearer to the generator, by a hundredth a step.
      for (name, value) in after where !name.contains(".running_") && parameters[name]!.rank != 4 {
        XCTAssertEqual(zip(value, before[name]!).map { abs($0 - $1) }.max()!, 0, accuracy: 1e-5, "\(model) \(name)")
      }
      XCTAssertTrue(after.contains { parameters[$0.key]!.rank == 4 && $0.value != before[$0.key] })
      let checkpoint = folder.url.appendingPathComponent("patched")
      try patched.writeCheckpoint(to: checkpoint)
      XCTAssertTrue(try Safetensors(contentsOf: checkpoint).names.contains { $0.hasSuffix(".gate") })
    }
    let frozen = try makeTrainer("stargan") { $0.retraining!.freeze = ["main.0", "main.3"] }
    let before = try values(frozen)
    _ = try frozen.trainStep(reporting: false)
    let after = try values(frozen)
    for (name, value) in after {
      let stays = name.hasPrefix("main.0") || name.hasPrefix("main.3")
      XCTAssertEqual(value == before[name], stays, name)
    }
    XCTAssertThrowsError(try makeTrainer("stargan") { $0.retraining!.freeze = [""] })
  }

  /// On pairs the generator comes to make of the protected face what it made of the original.
  func testPairs() throws {
    for model in generatorNames {
      let data = TrainingData(faces(97), originals: faces(53))
      let trainer = try makeTrainer(model, critic: false, data: data) {
        ($0.retraining!.isPaired, $0.learningRate, $0.steps, $0.batch) = (true, 2e-3, 100, 8)
      }
      XCTAssertEqual(trainer.warmUpStepsLeft, 0)
      func pair() throws -> Float { try trainer.trainStep()!.first { $0.name == "g.pair" }!.value }
      let first = try (0..<5).reduce(0) { sum, _ in try sum + pair() }
      for _ in 0..<80 { _ = try trainer.trainStep(reporting: false) }
      let last = try (0..<5).reduce(0) { sum, _ in try sum + pair() }
      XCTAssertLessThan(last, 0.97 * first, model)
    }
    let alone = try makeTrainer("stargan", critic: false) { $0.retraining!.isPaired = true }
    XCTAssertThrowsError(try alone.trainStep()) { XCTAssertTrue("\($0)".contains("originals"), "\($0)") }
  }

  /// With a share of 1, clean faces are all that is seen; with less, both are.
  func testCleanShare() throws {
    func result(_ collected: FaceSet, _ share: Float) throws -> [String: [Float]] {
      let trainer = try makeTrainer("stargan", data: TrainingData(collected, clean: faces(11), cleanShare: share))
      _ = try trainer.trainStep(reporting: false)
      return try values(trainer)
    }
    XCTAssertEqual(try result(faces(53), 1), try result(faces(97), 1))
    XCTAssertNotEqual(try result(faces(53), 0.5), try result(faces(97), 0.5))
    XCTAssertNotEqual(try result(faces(53), 0), try result(faces(53), 0.5))
  }

  /// Gradients that are added up over parts of a batch are the whole batch's.
  func testAccumulation() throws {
    let (whole, parts) = (try makeTrainer("stargan"), try makeTrainer("stargan") { $0.accumulate = 3 })
    for (a, b) in zip(try whole.trainStep()!, try parts.trainStep()!) {
      XCTAssertEqual(a.name, b.name)
      XCTAssertEqual(a.value, b.value, accuracy: 1e-4 * max(1, abs(a.value)), a.name)
    }
  }

  /// Activations that are computed a second time are the same, and so is what batch norms remember.
  func testRecomputation() throws {
    for model in generatorNames {
      let (kept, recomputed) = (try makeTrainer(model), try makeTrainer(model) { $0.recomputes = true })
      for _ in 0..<2 {
        for (a, b) in zip(try kept.trainStep()!, try recomputed.trainStep()!) {
          XCTAssertEqual(a.value, b.value, accuracy: 1e-4 * max(1, abs(a.value)), "\(model) \(a.name)")
        }
      }
      let (expected, found) = (try values(kept), try values(recomputed))
      // A norm takes these biases out again: their gradients are rounding errors.
      for (name, value) in expected where !name.hasSuffix("conv1.bias") {
        XCTAssertLessThan(relativeError(found[name]!, value), 1e-3, "\(model) \(name)")
      }
    }
  }

  func testAugmentedFacesDiffer() throws {
    func losses(_ names: [String]?) throws -> [Float] {
      try makeTrainer("stargan") { $0.augment = names }.trainStep()!.map(\.value)
    }
    XCTAssertEqual(try losses(nil), try losses([]))
    XCTAssertNotEqual(try losses(nil), try losses(augmentationNames))
    XCTAssertThrowsError(try losses(["median"])) { XCTAssertTrue($0 is RecipeError, "\($0)") }
  }

  func testRefusesOtherNetworks() throws {
    let url = try trained("stargan")
    XCTAssertThrowsError(try TrainingStart(.init(generator: url), named: "hisd", on: device)) {
      XCTAssertTrue("\($0)".contains("is of stargan, not of hisd"), "\($0)")
    }
    let generator = folder.url.appendingPathComponent("g.safetensors")
    try makeTrainer("stargan").writeProduct(to: generator)
    XCTAssertThrowsError(
      try Trainer(
        recipe("stargan"), from: TrainingStart(.init(generator: generator, critic: generator), on: device),
        data: TrainingData(faces()), device: device)
    ) { XCTAssertTrue($0 is FileError, "\($0)") }
  }

  func testLossLogGoesOnWhereACheckpointWas() throws {
    let url = folder.url.appendingPathComponent("losses.jsonl")
    let log = try LossLog(url, step: 0, warmUpStep: 0)
    try log.add(step: 0, warmUpStep: 10, [("d.total", 1)])
    try log.add(step: 10, warmUpStep: nil, [("d.total", 0.5)])
    let kept = try Data(contentsOf: url)
    try log.add(step: 20, warmUpStep: nil, [("d.total", 0.25)])
    let whole = try Data(contentsOf: url)
    try (whole + Data("{\"losses\":{\"d.to".utf8)).write(to: url)
    let resumed = try LossLog(url, step: 15, warmUpStep: 10)
    XCTAssertEqual(try Data(contentsOf: url), kept)
    try resumed.add(step: 20, warmUpStep: nil, [("d.total", 0.25)])
    XCTAssertEqual(try Data(contentsOf: url), whole)
  }

  func testDivergence() {
    var check = DivergenceCheck(limit: 10)
    for value in [1, 2, 3, 0.5, 1] as [Float] { XCTAssertNil(check.complaint([("a", value), ("b", 0)])) }
    XCTAssertNil(check.complaint([("a", -29), ("b", 9)]))
    XCTAssertEqual(check.complaint([("a", 31)]), "a is 31.0, over 10.0 times what it was at first")
    XCTAssertEqual(check.complaint([("a", .nan)]), "a is nan")
  }

  /// The optimisers' states go on: ours, and PyTorch's, which numbers parameters in the network's order and has moments of 0.5 and 0.001
  /// of the gradient and its square, here the parameter's number, after a step.
  func testGoesOnWithOptimizers() throws {
    let url = try trained("attgan")
    let ours = try TrainingStart(.init(generator: url, critic: url), on: device)
    var recipe = try recipe("attgan")
    recipe.retraining = RetrainingRecipe()
    let target = folder.url.appendingPathComponent("again")
    try Trainer(recipe, from: ours, data: TrainingData(faces()), device: device).writeCheckpoint(to: target)
    let (before, after) = (try Safetensors(contentsOf: url), try Safetensors(contentsOf: target))
    for optimizer in ["optim_G", "optim_D"] {
      XCTAssertEqual(after.metadata["\(optimizer)_steps"], before.metadata["\(optimizer)_steps"])
      for name in before.names where name.hasPrefix(optimizer) {
        XCTAssertEqual(try after.values(of: name), try before.values(of: name), name)
      }
    }

    let official = projectURL("Tests/Goldens/checkpoints/training-attgan.pth")
    let start = try TrainingStart(.init(generator: official, critic: official), named: "attgan", on: device)
    (recipe.attributes, recipe.batch) = (["A", "B"], 2)
    try Trainer(recipe, from: start, data: TrainingData(faces()), device: device).writeCheckpoint(to: target)
    let file = try Safetensors(contentsOf: target)
    XCTAssertEqual(file.metadata["optim_G_steps"], "1")
    XCTAssertEqual(file.metadata["optim_D_steps"], "1")
    for (name, number) in [
      ("optim_G.enc_layers.0.layers.0.weight", 1), ("optim_G.enc_layers.1.layers.0.weight", 4),
      ("optim_D.conv.0.layers.0.weight", 1), ("optim_D.conv.0.layers.1.bias", 3),
    ] as [(String, Float)] {
      for (moment, value) in [("m", 0.5 * number), ("v", 0.001 * number * number)] {
        for found in try file.values(of: "\(name).\(moment)") { XCTAssertEqual(found, value, accuracy: 1e-6 * number) }
      }
    }
  }
}
