import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// Checkpoints of runs and perturbations that hold what no run wrote are refused; nothing of them reaches a kernel.
final class HostileStateTests: XCTestCase {
  private let host = CPUDevice()
  private let folder = try! TemporaryFolder()

  private var faces: FaceSet {
    let images = (0..<4).map { n in
      Image(width: 32, height: 32, channels: 3, bytes: (0..<3072).map { UInt8(($0 * 7 + n * 31) % 256) })
    }
    return FaceSet(images: images, attributes: ["A", "B"], labels: images.map { _ in [1, 0] })
  }

  /// Writes a file's tensors and metadata again, changed.
  private func change(
    _ url: URL, _ body: (inout [String: Tensor], inout [String: String]) throws -> Void
  ) throws -> URL {
    let file = try Safetensors(contentsOf: url)
    var (tensors, metadata) = (try file.tensors(on: host), file.metadata)
    try body(&tensors, &metadata)
    let target = folder.url.appendingPathComponent("changed")
    try Safetensors.write(tensors, metadata: metadata, to: target)
    return target
  }

  private func requireRefusal(_ message: String, line: UInt = #line, _ body: () throws -> Void) {
    XCTAssertThrowsError(try body(), line: line) {
      XCTAssertTrue($0 is FileError && "\($0)".contains(message), "\($0)", line: line)
    }
  }

  private func tensor(_ shape: [Int]) throws -> Tensor { try Tensor(repeating: 0, shape: shape, device: host) }

  func testTrainingCheckpoints() throws {
    var recipe = try TrainingRecipe(defaultsOf: "stargan")
    (recipe.attributes, recipe.imageSize, recipe.width, recipe.blocks) = (["A", "B"], 32, 4, 1)
    (recipe.discriminatorWidth, recipe.discriminatorLayers, recipe.batch, recipe.criticSteps) = (4, 2, 2, 1)
    let trainer = try Trainer(recipe, faces: faces, device: host)
    _ = try trainer.trainStep()
    let good = folder.url.appendingPathComponent("good.checkpoint")
    try trainer.writeCheckpoint(to: good)
    XCTAssertNoThrow(try Trainer(recipe, faces: faces, device: host).restore(from: good))

    func refuse(
      _ message: String, line: UInt = #line, _ body: (inout [String: Tensor], inout [String: String]) throws -> Void
    ) throws {
      let bad = try change(good, body)
      let other = try Trainer(recipe, faces: faces, device: host)
      requireRefusal(message, line: line) { try other.restore(from: bad) }
      XCTAssertEqual(other.step, 0)
    }
    let moment = "optim_G.main.0.weight"
    try refuse("\(moment).m has the shape [2], not [4, 5, 7, 7]") { t, _ in t["\(moment).m"] = try tensor([2]) }
    try refuse("has no tensor named \(moment).v") { t, _ in t["\(moment).v"] = nil }
    try refuse("unexpected tensor optim_D.none.m") { t, _ in t["optim_D.none.m"] = try tensor([2]) }
    try refuse("unexpected tensor optim_D.x") { t, _ in t["optim_D.x"] = try tensor([2]) }
    try refuse("G.main.0.weight has the shape [4]") { t, _ in t["G.main.0.weight"] = try tensor([4]) }
    try refuse("has no tensor named G.main.0.weight") { t, _ in t["G.main.0.weight"] = nil }
    try refuse("D.main.0.weight has the shape [4]") { t, _ in t["D.main.0.weight"] = try tensor([4]) }
    try refuse("unexpected tensor extra.a") { t, _ in t["extra.a"] = try tensor([4]) }
    for (key, value) in [
      ("step", "-1"), ("step", "9223372036854775808"), ("random_position", "-1"), ("optim_G_steps", "-9"),
      ("optim_D_steps", "nan"),
    ] {
      try refuse("its \(key) is \(value)") { _, m in m[key] = value }
    }
    try refuse("is not a checkpoint of tsdf train") { _, m in m["recipe"] = "{\"width\": 9e99}" }
  }

  func testCraftCheckpoints() throws {
    var recipe = CraftRecipe()
    (recipe.method, recipe.size, recipe.batch, recipe.passes, recipe.faces) = (.noise, 64, 2, 1, 4)
    let good = folder.url.appendingPathComponent("good.checkpoint")
    recipe.method = .cmua
    recipe.imageSteps = 1
    func make() throws -> Crafter {
      try Crafter(
        recipe, faces: faces,
        generators: [
          StarGANGenerator(width: 4, blocks: 1, attributes: ["A", "B"], imageSize: 32, seed: 3, device: host)
        ], detectors: [], device: host)
    }
    let crafter = try make()
    try crafter.writeCheckpoint(to: good)
    XCTAssertNoThrow(try make().restore(from: good))
    func refuse(
      _ message: String, line: UInt = #line, _ body: (inout [String: Tensor], inout [String: String]) throws -> Void
    ) throws {
      let bad = try change(good, body)
      let other = try make()
      requireRefusal(message, line: line) { try other.restore(from: bad) }
    }
    try refuse("perturbation has the shape [1, 3, 8, 8]") { t, _ in t["perturbation"] = try tensor([1, 3, 8, 8]) }
    try refuse("is at batch 99 of 2") { _, m in m["step"] = "99" }
    try refuse("is at batch -1 of 2") { _, m in m["step"] = "-1" }
    try refuse("is not a checkpoint of tsdf craft") { _, m in m["random_position"] = "-1" }
    try refuse("is not a checkpoint of tsdf craft") { _, m in m["recipe"] = "{}}" }
  }

  func testPerturbations() throws {
    for (epsilon, message) in [
      ("nan", "has the epsilon nan"), ("-0.05", "has the epsilon -0.05"), ("inf", "has the epsilon inf"),
      ("0", "has the epsilon 0"), ("1e300", "has the epsilon 1e300"), ("x", "has the epsilon x"),
    ] {
      let url = folder.url.appendingPathComponent("w")
      try Safetensors.write(["perturbation": tensor([1, 3, 8, 8])], metadata: ["epsilon": epsilon], to: url)
      requireRefusal(message) { _ = try loadPerturbation(url, on: host) }
    }
    for shape in [[3, 8, 8], [1, 3, 8, 9], [2, 3, 8, 8], [1, 4, 8, 8]] {
      let url = folder.url.appendingPathComponent("w")
      try Safetensors.write(["perturbation": tensor(shape)], metadata: ["epsilon": "0.05"], to: url)
      requireRefusal("is not a perturbation") { _ = try loadPerturbation(url, on: host) }
    }
    let url = folder.url.appendingPathComponent("w")
    try Safetensors.write(
      ["perturbation": tensor([1, 3, 8, 8])], metadata: ["epsilon": "0.05", "recipe": "{\"size\": -1}"], to: url)
    requireRefusal("size must be from 64 to 8192, not -1") { _ = try loadPerturbation(url, on: host) }
  }
}
