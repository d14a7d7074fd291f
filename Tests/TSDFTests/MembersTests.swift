import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// Crafting and training by several devices together: what one of them alone makes, but for rounding.
final class MembersTests: XCTestCase {
  /// Two contexts on OpenCL, and one beside the fallback; where there is no OpenCL the fallback alone.
  private let groups: [[String]] =
    (try? openCLDevices().isEmpty) ?? true
    ? [["cpu", "cpu", "cpu"]] : [["opencl", "opencl"], ["opencl", "cpu"], ["cpu", "cpu", "cpu"]]

  private static func crafted(_ method: CraftMethod, _ group: LocalGroup?, on request: String) throws
    -> [Float]
  {
    let device = try selectDevice(request).device
    var recipe = CraftRecipe()
    (recipe.method, recipe.size, recipe.batch, recipe.passes, recipe.faces) = (method, 64, 3, 1, 5)
    (recipe.featureSteps, recipe.poisonSteps, recipe.imageSteps, recipe.enhancementWeight) = (2, 2, 2, 0.5)
    let crafter = try Crafter(
      recipe, faces: smallFaces(5, size: 64), generators: [smallGenerator(on: device)],
      detectors: [UltraLight(seed: 2, hasFields: false, device: device)], group: group, device: device)
    while crafter.step < crafter.stepCount { try crafter.craftStep() }
    return try crafter.perturbation.values()
  }

  func testCraftingTogether() throws {
    for method in [CraftMethod.joint, .tsdf, .interruption, .cmua] {
      // Where detectors are looked at, which takes longest, not in every group.
      for requests in method == .joint ? groups[...] : method == .tsdf ? groups.prefix(1) : groups.suffix(1) {
        let alone = try Self.crafted(method, nil, on: requests[0])
        XCTAssertTrue(alone.allSatisfy(\.isFinite), "\(method.rawValue) \(requests)")
        let made = try together(requests.count) { try Self.crafted(method, $0, on: requests[$0.rank]) }
        for other in made { XCTAssertEqual(other, made[0], "\(method.rawValue) \(requests)") }
        // A sign step turns about where a gradient is next to nothing.
        let differing = zip(made[0], alone).count { abs($0 - $1) > 1e-4 }
        XCTAssertLessThan(Double(differing) / Double(alone.count), 0.02, "\(method.rawValue) \(requests)")
        guard method == .joint else { continue }
        let again = try together(requests.count) { try Self.crafted(method, $0, on: requests[$0.rank]) }
        XCTAssertEqual(again[0], made[0])
      }
    }
  }

  private static func trained(_ model: String, steps: Int, _ group: LocalGroup?, on request: String) throws -> [Float] {
    let device = try selectDevice(request).device
    let trainer = try makeTrainer(model, group, on: device)
    for _ in 0..<steps { _ = try trainer.trainStep(reporting: false) }
    return try values(of: trainer)
  }

  private static func makeTrainer(
    _ model: String, _ group: LocalGroup?, accumulate: Int? = nil, on device: any Device
  ) throws -> Trainer {
    var recipe = try TrainingRecipe(defaultsOf: model)
    (recipe.imageSize, recipe.width, recipe.blocks, recipe.hiddenCount) = (16, 4, 2, 8)
    (recipe.discriminatorWidth, recipe.discriminatorLayers, recipe.batch, recipe.criticSteps) = (4, 2, 4, 2)
    (recipe.steps, recipe.decaySteps, recipe.tags) = (4, 0, model == "hisd" ? "A;B" : "")
    (recipe.attributes, recipe.accumulate) = (["A", "B"], accumulate)
    let images = (0..<6).map { n in
      Image(width: 16, height: 16, channels: 3, bytes: (0..<768).map { UInt8(($0 * 7 + n * 31) % 256) })
    }
    let faces = FaceSet(
      images: images, attributes: ["A", "B"],
      labels: images.indices.map { [Float($0 % 2), Float($0 % 3 == 0 ? 1 : 0)] })
    return try Trainer(recipe, faces: faces, originals: faces, group: group, device: device)
  }

  /// All that a checkpoint holds.
  private static func values(of trainer: Trainer) throws -> [Float] {
    let folder = try TemporaryFolder()
    let url = folder.url.appendingPathComponent("checkpoint")
    try trainer.writeCheckpoint(to: url)
    let file = try Safetensors(contentsOf: url)
    return try file.names.sorted().filter { !$0.hasPrefix("optim") }.flatMap { try file.values(of: $0) }
  }

  func testTrainingTogether() throws {
    for model in ["stargan", "attentiongan", "attgan", "hisd", "classifier", "denoiser"] {
      for requests in groups {
        let alone = try Self.trained(model, steps: 2, nil, on: requests[0])
        let made = try together(requests.count) { try Self.trained(model, steps: 2, $0, on: requests[$0.rank]) }
        for other in made { XCTAssertEqual(other, made[0], "\(model) \(requests)") }
        XCTAssertLessThan(relativeError(made[0], alone), 1e-3, "\(model) \(requests)")
      }
    }
  }

  /// From the first member's checkpoint all go on to the same bits.
  func testResumingTogether() throws {
    for requests in groups {
      let folder = try TemporaryFolder()
      let url = folder.url.appendingPathComponent("checkpoint")
      let whole = try together(requests.count) { try Self.trained("stargan", steps: 3, $0, on: requests[$0.rank]) }
      let resumed = try together(requests.count) { member in
        let device = try selectDevice(requests[member.rank]).device
        let first = try Self.makeTrainer("stargan", member, on: device)
        for _ in 0..<2 { _ = try first.trainStep(reporting: false) }
        if member.rank == 0 { try first.writeCheckpoint(to: url) }
        _ = try member.any(false)
        let second = try Self.makeTrainer("stargan", member, on: device)
        try second.restore(from: url)
        _ = try second.trainStep(reporting: false)
        return try Self.values(of: second)
      }
      XCTAssertEqual(resumed, whole, "\(requests)")
    }
  }

  func testWhatCannotBeShared() throws {
    for (model, members, accumulate, message) in [
      ("attgan", 2, 2, "leave --accumulate out"), ("stargan", 5, nil, "does not go round"),
    ] {
      XCTAssertThrowsError(
        try together(members) { member in
          _ = try Self.makeTrainer(model, member, accumulate: accumulate, on: CPUDevice()).trainStep()
        }, model
      ) { XCTAssertTrue("\($0)".contains(message), "\($0)") }
    }
  }
}
