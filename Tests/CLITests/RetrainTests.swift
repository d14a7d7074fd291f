import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// `tsdf retrain` and `tsdf persist` as a person runs them: to their end, killed, stopped, wrongly asked.
final class RetrainTests: CommandTestCase {
  override func setUpWithError() throws {
    try super.setUpWithError()
    for i in 0..<14 {
      try folder.write(try encodePNG(syntheticImage(width: 66 + i, height: 64)), "data/images/\(i).png")
    }
    let lines = (0..<14).map { "\($0).png \($0 % 2 == 0 ? 1 : -1) \($0 % 3 == 0 ? 1 : -1)" }
    try folder.write(Data((["14", "A B"] + lines).joined(separator: "\n").utf8), "data/list_attr.txt")
    let classifier = try AttributeClassifier(
      width: 4, blocks: 2, attributes: ["A", "B"], imageSize: 32, seed: 1, device: CPUDevice())
    try Safetensors.write(
      classifier.parameters, metadata: classifier.metadata,
      to: folder.url.appendingPathComponent("classifier.safetensors"))
  }

  private func retrain(_ extra: String..., output: String = "out.safetensors") -> [String] {
    [
      "retrain", "stargan", "--weights", folder.path("generator.safetensors"), "--data", folder.path("data"),
      "--output",
      folder.path(output), "--batch", "2", "--critic-steps", "1", "--discriminator-width", "4",
      "--discriminator-layers",
      "2", "--warm-up", "3", "--report-every", "2", "--checkpoint-every", "2",
    ] + extra
  }

  private func bytes(_ names: [String]) throws -> [Data] {
    try names.map { try Data(contentsOf: URL(fileURLWithPath: folder.path($0))) }
  }

  /// Ends a run by a signal once a file is there.
  private func interrupt(_ arguments: [String], with signal: Int32, once file: String) throws -> Int32 {
    try CLITests.interrupt(arguments, with: signal) { FileManager.default.fileExists(atPath: folder.path(file)) }.status
  }

  /// Two devices together make what one alone does but for rounding, the same bits each time, stopped in between too.
  func testRetrainingOnSeveralDevices() throws {
    func run(_ devices: String, _ output: String) -> [String] {
      retrain("--steps", "12", "--device", devices, output: output)
    }
    for (devices, output) in [("cpu", "one.safetensors"), ("cpu,cpu", "two.safetensors")] {
      let whole = try tsdf(run(devices, output))
      XCTAssertEqual(whole.status, 0, whole.errors)
      XCTAssertEqual(whole.output, "\(folder.path(output)): 12 steps\n")
    }
    let stopped = run("cpu,cpu", "stopped.safetensors")
    XCTAssertEqual(try interrupt(stopped, with: SIGTERM, once: "stopped.safetensors.checkpoint"), 143)
    XCTAssertEqual(try tsdf(stopped).status, 0)
    let files = ["safetensors", "safetensors.losses.jsonl", "safetensors.checkpoint"]
    XCTAssertEqual(try bytes(files.map { "stopped.\($0)" }), try bytes(files.map { "two.\($0)" }))
    // All together: what a norm takes out again, a bias before it, is rounding alone.
    let networks = try ["one", "two"].map { name in
      let file = try Safetensors(contentsOf: folder.url.appendingPathComponent("\(name).safetensors"))
      return try file.names.flatMap { try file.values(of: $0) }
    }
    XCTAssertLessThan(relativeError(networks[1], networks[0]), 1e-3)
    let other = try tsdf(retrain("--steps", "1", "--device", "cpu,cpu,cpu", output: "three.safetensors"))
    XCTAssertNotEqual(other.status, 0)
    XCTAssertTrue(other.errors.contains("give a larger --batch"), other.errors)
  }

  func testKilledAndStoppedRetrainingEndsInTheSameBits() throws {
    let files = ["safetensors", "safetensors.losses.jsonl"]
    XCTAssertEqual(try tsdf(retrain("--steps", "30", output: "whole.safetensors")).status, 0)
    let whole = try bytes(files.map { "whole.\($0)" })
    let log = try XCTUnwrap(String(bytes: whole[1], encoding: .utf8))
    XCTAssertTrue(log.hasPrefix("{\"losses\":{\"d.cls\":"), log)
    XCTAssertEqual(log.split(separator: "\n").count, 1 + 15, log)

    _ = try interrupt(retrain("--steps", "30"), with: SIGKILL, once: "out.safetensors.checkpoint")
    let (stopped, file) = (retrain("--steps", "30", output: "stopped.safetensors"), "stopped.safetensors.checkpoint")
    XCTAssertEqual(try interrupt(stopped, with: SIGTERM, once: file), 143)
    for (arguments, name) in [(retrain("--steps", "30"), "out"), (stopped, "stopped")] {
      let url = URL(fileURLWithPath: folder.path("\(name).safetensors.checkpoint"))
      let step = try XCTUnwrap(Safetensors(contentsOf: url).metadata["step"])
      XCTAssertLessThan(try XCTUnwrap(Int(step)), 30, "the run ended before it was interrupted")
      XCTAssertEqual(try tsdf(arguments).status, 0)
      XCTAssertEqual(try bytes(files.map { "\(name).\($0)" }), whole)
    }
  }

  /// A run goes on with the faces that it began with, and no others.
  func testOtherFacesAreNotGoneOnWith() throws {
    XCTAssertEqual(try tsdf(retrain("--steps", "2")).status, 0)
    XCTAssertEqual(try tsdf(retrain("--steps", "3")).status, 0)
    try folder.write(try encodePNG(syntheticImage(width: 90, height: 64)), "data/images/0.png")
    let other = try tsdf(retrain("--steps", "4"))
    XCTAssertEqual(other.status, 1)
    XCTAssertTrue(other.errors.contains("was trained on other faces"), other.errors)
  }

  func testAutomaticBatchesAndOfficialFiles() throws {
    let result = try tsdf(
      retrain("--steps", "1", "--batch-size", "auto", "--memory-limit", "16"))
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertTrue(result.errors.contains("14 faces in batches of "), result.errors)
    // The authors' files name no labels: the faces' are taken.
    func checkpoint(_ name: String) -> String { projectURL("Tests/Goldens/checkpoints/training-\(name).pth").path }
    for (model, critic) in [("stargan", "stargan-critic"), ("attgan", "attgan")] {
      let result = try tsdf(
        "retrain", model, "--weights", checkpoint(model), "--critic", checkpoint(critic), "--data", folder.path("data"),
        "--output", folder.path("\(model).safetensors"), "--batch", "2", "--steps", "1")
      XCTAssertEqual(result.status, 0, result.errors)
      let made = try loadGenerator(URL(fileURLWithPath: folder.path("\(model).safetensors")), on: CPUDevice())
      XCTAssertEqual(made.attributes, ["A", "B"])
      XCTAssertEqual(made.imageSize, 16)
    }
  }

  func testWrongUsage() throws {
    for (arguments, message) in [
      (retrain("--augment", "sharpen"), "there are jpeg"), (retrain("--clean-share", "0.5"), "needs --clean"),
      (retrain("--clean", "x", "--clean-share", "2"), "from 0.0 to 1.0"),
      (retrain("--batch", "many"), "many"), (retrain("--accumulate", "5"), "accumulate must be from 1 to 2"),
      (retrain("--paired", folder.path("data"), "--critic", "x"), "--paired trains without"),
      (retrain("--lora=-1"), "rank must be"), (["detect", "x.png", "--purify", "blur:1,blur:2"], "one attack"),
      (["detect", "x.png", "--purify", "average:3"], "evaluate and persist"),
      (["evaluate", "--data", "x", "--purify", "blur"], "--purify: blur needs a number"),
      (["persist", "--data", "x", "--output", "y", "--shard", "3/2"], "3/2"),
    ] {
      let result = try tsdf(arguments)
      XCTAssertEqual(result.status, 64, "\(arguments): \(result.errors)")
      XCTAssertTrue(result.errors.contains(message), "\(arguments): \(result.errors)")
    }
    let missing = try tsdf(
      "retrain", "stargan", "--weights", folder.path("generator.safetensors"), "--data", folder.path("data"),
      "--output",
      folder.path("out.safetensors"), "--paired", folder.path("nowhere"))
    XCTAssertEqual(missing.status, 1)
    XCTAssertTrue(missing.errors.contains("nowhere/0.png"), missing.errors)
  }

  /// What is kept over the probes is the mean of their shares, none counting more than whole.
  func testRobustness() throws {
    let result = try tsdf(
      "evaluate", "--data", folder.path("data"), "--hold-out", "0", "--count", "2", "--size", "64", "--generators",
      folder.path("generator.safetensors"), "--detectors", "none", "--compare", folder.path("perturbation.safetensors"),
      "--refine-detectors", "none", "--robustness", "--metrics", "lpips", "--json", "--quiet")
    XCTAssertEqual(result.status, 0, result.errors)
    let report = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
    let variants = try XCTUnwrap(report?["variants"] as? [[String: Any]])
    XCTAssertEqual(variants.compactMap { $0["attack"] as? String }, robustnessProbes)
    let generators = try variants.map { try XCTUnwrap(($0["generators"] as? [[String: Any]])?.first) }
    let errors = try generators.map { try XCTUnwrap($0["l2Mask"] as? Double) }
    let kept = errors.dropFirst().map { min(1, $0 / errors[0]) }
    XCTAssertEqual(
      try XCTUnwrap(generators[0]["robustness"] as? Double), kept.reduce(0, +) / Double(kept.count), accuracy: 1e-9)
    XCTAssertNil(generators[1]["robustness"])
    XCTAssertGreaterThan(try XCTUnwrap(generators[0]["lpips"] as? Double), 0)
    XCTAssertGreaterThan(try XCTUnwrap(variants[0]["watermarkLPIPS"] as? Double), 0)
  }

  /// What a perturbation does to generators that it was not made against is told apart, where its file says which it was.
  func testTransfer() throws {
    let device = CPUDevice()
    let known = folder.path("known.safetensors")
    let tensor = try Safetensors(contentsOf: URL(fileURLWithPath: folder.path("perturbation.safetensors"))).tensor(
      "perturbation", on: device)
    for (generators, expected) in [(["attgan"], true), (["stargan"], false)] {
      var recipe = CraftRecipe()
      recipe.generators = generators
      let json = String(decoding: try JSONEncoder().encode(recipe), as: UTF8.self)
      try Safetensors.write(
        ["perturbation": tensor], metadata: ["epsilon": "0.05", "recipe": json], to: URL(fileURLWithPath: known))
      let result = try tsdf(
        "evaluate", "--data", folder.path("data"), "--hold-out", "0", "--count", "2", "--size", "64", "--generators",
        folder.path("generator.safetensors"), "--detectors", "none", "--compare", known, "--refine-detectors", "none",
        "--json", "--quiet")
      XCTAssertEqual(result.status, 0, result.errors)
      let report = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
      let variant = try XCTUnwrap((report?["variants"] as? [[String: Any]])?.first)
      let rate = (variant["generators"] as? [[String: Any]])?.first?["successRate"] as? Double
      XCTAssertEqual(variant["transfer"] as? Double, expected ? rate : nil)
    }
  }

  // MARK: Persist

  private func writeRecipe(_ change: (inout [String: Any]) -> Void = { _ in }) throws {
    var recipe: [String: Any] = [
      "generator": folder.path("generator.safetensors"), "classifier": folder.path("classifier.safetensors"),
      "size": 64, "firstCollected": 2, "collected": 4, "holdOut": 3, "judged": 3, "seeds": [1, 2], "steps": [0, 1, 3],
      "batch": 2, "criticSteps": 1, "warmUpSteps": 2, "discriminatorWidth": 4, "discriminatorLayers": 2,
      "defenders": [
        ["name": "none"], ["name": "noise", "craft": ["method": "noise", "size": 64, "faces": 2, "batch": 2]],
        ["name": "W & <given>", "perturbation": folder.path("perturbation.safetensors")],
      ] as [[String: Any]],
      "attackers": [
        ["name": "nothing", "retrains": false],
        ["name": "blur", "retrains": false, "purify": "blur:1@photo+average:2"],
        ["name": "retrains", "cleanShare": 0.5, "augment": ["blur"]], ["name": "patches", "isPaired": true, "rank": 2],
        ["name": "RetinaFace", "detectors": ["retinaface"]],
      ] as [[String: Any]],
    ]
    change(&recipe)
    try folder.write(try JSONSerialization.data(withJSONObject: recipe), "recipe.json")
  }

  private func persist(_ extra: String...) -> [String] {
    [
      "persist", "--recipe", folder.path("recipe.json"), "--data", folder.path("data"), "--output", folder.path("p"),
      "--quiet",
    ] + extra
  }

  private var artefacts: [String: Data] {
    get throws {
      var found: [String: Data] = [:]
      for file in folder.files
      where file.hasPrefix("p/") && [".json", ".jsonl", ".csv", ".png"].contains(where: file.hasSuffix) {
        found[file] = try Data(contentsOf: URL(fileURLWithPath: folder.path(file)))
      }
      return found
    }
  }

  func testPersist() throws {
    try writeRecipe()
    let result = try tsdf(persist("--json"))
    XCTAssertEqual(result.status, 0, result.errors)
    let summary = try JSONDecoder().decode(PersistenceSummary.self, from: Data(result.output.utf8))
    // Retraining is judged at three steps, but not where nothing was left to train on: these pictures have no face.
    XCTAssertEqual(summary.rows.count, 3 * (1 + 1 + 3 + 3 + 1))
    for row in summary.rows {
      XCTAssertEqual(row.seeds, 2)
      XCTAssertEqual(row.kept, row.attacker == "RetinaFace" ? 0 : 1, row.attacker)
      // Without protection and purifiers both edits are the same.
      if row.defender == "none", row.attacker != "blur" { XCTAssertEqual(row.own?.mean ?? 0, 0, row.attacker) }
      if row.step == 0 { XCTAssertEqual(row.drift?.mean ?? 0, 0) }
    }
    let drifted = summary.rows.filter { $0.attacker == "retrains" && $0.step == 3 }
    XCTAssertTrue(drifted.allSatisfy { ($0.ssim?.mean ?? 2) <= 1 }, "\(drifted)")
    let whole = try artefacts
    XCTAssertEqual(whole.keys.filter { $0.hasSuffix("/result.json") }.count, 30)
    XCTAssertTrue(folder.files.contains("p/results.csv"))
    let page = try String(contentsOfFile: folder.path("p/index.html"), encoding: .utf8)
    for text in [
      "<th>W &amp; &lt;given&gt;</th>", "<th>retrains</th>", "photos that survive preparation",
      "retraining steps</text>",
      "data:image/png;base64,", "judged\non 3 other faces with the same protection, 2 times",
      "&quot;firstCollected&quot; : 2",
    ] {
      XCTAssertTrue(page.contains(text), "\(text) is not on the page")
    }
    XCTAssertFalse(page.contains("http"), "the page needs nothing from elsewhere")
    XCTAssertFalse(page.contains("{{"))
    XCTAssertFalse(
      folder.files.contains { $0.hasSuffix("checkpoint.safetensors") }, "what is done leaves no checkpoint")

    // Killed twice and stopped once, it ends in the same bits.
    try FileManager.default.removeItem(atPath: folder.path("p"))
    _ = try interrupt(persist(), with: SIGKILL, once: "p/arms/none/retrains/seed-1/checkpoint.safetensors")
    _ = try interrupt(persist(), with: SIGKILL, once: "p/arms/noise/patches/seed-1/checkpoint.safetensors")
    XCTAssertEqual(try interrupt(persist(), with: SIGINT, once: "p/arms/w-given/retrains/seed-1/losses.jsonl"), 130)
    XCTAssertEqual(try tsdf(persist()).status, 0)
    XCTAssertEqual(try artefacts, whole)

    // Several devices take turns at the arms.
    let devices = try tsdf(
      Array(persist("--device", "auto,cpu").map { $0 == folder.path("p") ? folder.path("q") : $0 }))
    XCTAssertEqual(devices.status, 0, devices.errors)
    XCTAssertEqual(folder.files.filter { $0.hasPrefix("q/arms/") && $0.hasSuffix("/result.json") }.count, 30)

    // Shards share a folder; another recipe's arms are made anew, and only they.
    try writeRecipe { $0["seeds"] = [1, 2, 3] }
    let shards = try ["0/2", "1/2"].map { try startTSDF(persist("--shard", $0)) }
    for shard in shards {
      let errors = String(decoding: shard.err.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      shard.process.waitUntilExit()
      XCTAssertEqual(shard.process.terminationStatus, 0, errors)
    }
    let more = try artefacts
    XCTAssertEqual(more.keys.filter { $0.hasSuffix("/result.json") }.count, 45)
    for (file, data) in whole where file.hasSuffix("/result.json") { XCTAssertEqual(more[file], data, file) }
  }

  /// Networks judge edits where the recipe asks: equal pictures are at no distance, others are.
  func testPersistWithMetrics() throws {
    try writeRecipe {
      ($0["metrics"], $0["seeds"]) = (["lpips", "fid"], [1])
      $0["defenders"] = [["name": "none"], ["name": "W", "perturbation": folder.path("perturbation.safetensors")]]
      $0["attackers"] = [["name": "nothing", "retrains": false]]
    }
    let result = try tsdf(persist("--json"))
    XCTAssertEqual(result.status, 0, result.errors)
    let rows = try JSONDecoder().decode(PersistenceSummary.self, from: Data(result.output.utf8)).rows
    let (none, some) = (try XCTUnwrap(rows.first { $0.defender == "none" }), try XCTUnwrap(rows.last))
    XCTAssertEqual(try XCTUnwrap(none.lpips).mean, 0, accuracy: 1e-6)
    XCTAssertEqual(try XCTUnwrap(none.fid), 0, accuracy: 1e-3)
    XCTAssertGreaterThan(try XCTUnwrap(some.lpips).mean, 1e-4)
    XCTAssertGreaterThan(try XCTUnwrap(some.fid), 1e-2)
    XCTAssertEqual(try XCTUnwrap(some.lpips).count, 3)
    let csv = try String(contentsOfFile: folder.path("p/results.csv"), encoding: .utf8).split(separator: "\n")
    XCTAssertEqual(Set(csv.map { $0.split(separator: ",", omittingEmptySubsequences: false).count }).count, 1)
  }

  /// What an attacker's detectors see photos through decides which are kept: a face that is blurred beyond telling is lost, at
  /// whichever place it is blurred.
  func testDetectorsOfAnAttackerSeePhotosThroughWhatHeSays() throws {
    let face = try encodePNG(photo(width: 128, height: 128, heads: [PastedHead(x: 19, y: 4, width: 90)]))
    for i in 0..<14 { try folder.write(face, "data/images/\(i).png") }
    let kept = ["blur:0.5@photo": 1, "blur:20@photo": 0, "blur:20": 0]
    try writeRecipe {
      ($0["size"], $0["seeds"], $0["defenders"]) = (128, [1], [["name": "none"]])
      $0["attackers"] =
        [["name": "as they are", "detectors": ["retinaface"], "retrains": false]]
        + kept.keys.map { ["name": $0, "detectors": ["retinaface"], "detectThrough": $0, "retrains": false] }
    }
    let result = try tsdf(persist("--json"))
    XCTAssertEqual(result.status, 0, result.errors)
    let rows = try JSONDecoder().decode(PersistenceSummary.self, from: Data(result.output.utf8)).rows
    XCTAssertEqual(rows.count, 4)
    for row in rows { XCTAssertEqual(row.kept, Double(kept[row.attacker, default: 1]), row.attacker) }
  }

  /// What was made of photos that are others now is made anew.
  func testOtherPhotosAreProtectedAnew() throws {
    try writeRecipe {
      $0["defenders"] = [["name": "given", "perturbation": folder.path("perturbation.safetensors")]]
      ($0["seeds"], $0["attackers"]) = ([1], [["name": "nothing", "retrains": false]])
    }
    let files = ["p/defenders/given/collected/00000.png", "p/arms/given/nothing/seed-1/stage.json"]
    XCTAssertEqual(try tsdf(persist()).status, 0)
    let before = try bytes(files)
    XCTAssertEqual(try tsdf(persist()).status, 0)
    XCTAssertEqual(try bytes(files), before)
    try folder.write(try encodePNG(syntheticImage(width: 90, height: 64)), "data/images/2.png")
    XCTAssertEqual(try tsdf(persist()).status, 0)
    for (now, then) in zip(try bytes(files), before) { XCTAssertNotEqual(now, then) }
  }

  func testPersistenceRecipesAreChecked() throws {
    for (field, value, message) in [
      ("steps", [1, 2], "steps must begin with 0"), ("seeds", [1, 1], "seeds must be different"),
      ("defenders", [["name": "a"], ["name": "A!"]], "one name twice"), ("defenders", [], "defenders is empty"),
      ("attackers", [["name": "x", "purify": "sharpen:1"]], "no purifier sharpen"),
      ("attackers", [["name": "x", "speed": 1]], "unknown field speed"),
      ("attackers", [["name": "x", "detectThrough": "blur:1"]], "but no detectors"),
      ("attackers", [["name": "x", "detectors": ["mtcnn"], "detectThrough": "average:2"]], "have in common"),
      ("attackers", [["name": "x", "isPaired": true, "detectors": ["mtcnn"]]], "pairs are of all photos"),
      ("defenders", [["name": "x", "craft": ["method": "magic"]]], "method"), ("judged", 7, "at most the 3"),
      ("defenders", [["name": "x", "refineSteps": -3]], "refined -3 steps"), ("model", "vae", "there are stargan"),
      ("colour", 1, "unknown field colour"), ("metrics", ["taste"], "has taste; there are lpips, fid"),
      ("metrics", ["lpips", "lpips"], "has one twice"), ("firstCollected", 0, "noise crafts on the faces before"),
    ] as [(String, Any, String)] {
      try writeRecipe { $0[field] = value }
      let result = try tsdf(persist())
      XCTAssertEqual(result.status, 64, "\(field): \(result.errors)")
      XCTAssertTrue(result.errors.contains(message), "\(field): \(result.errors)")
    }
    try writeRecipe { $0["collected"] = 10 }
    let result = try tsdf(persist())
    XCTAssertEqual(result.status, 1)
    XCTAssertTrue(result.errors.contains("14 faces"), result.errors)
    // A folder that is not an experiment's is left alone.
    try writeRecipe()
    let nowhere = try tsdf(persist("--device", "nowhere").map { $0 == folder.path("p") ? folder.path("q") : $0 })
    XCTAssertEqual(nowhere.status, 69, nowhere.errors)
    XCTAssertFalse(folder.files.contains("q/results.json"))
    try folder.write(Data("mine".utf8), "p/arms/none/nothing/seed-1/mine.txt")
    let foreign = try tsdf(persist())
    XCTAssertEqual(foreign.status, 1)
    XCTAssertTrue(foreign.errors.contains("was not made by tsdf persist"), foreign.errors)
    XCTAssertTrue(folder.files.contains("p/arms/none/nothing/seed-1/mine.txt"))
  }
}
