import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

final class DefenseTests: XCTestCase {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tsdf-\(UUID().uuidString)")

  override func tearDown() { try? FileManager.default.removeItem(at: folder) }

  /// Crafting interrupted and resumed from its checkpoint gives the same bits as crafting in one go.
  func testCraftingResumesBitForBit() throws {
    let device = try selectDevice().device
    let retinaface = try loadDetector("retinaface", from: projectURL("models"), on: device)
    for method in CraftMethod.allCases {
      var recipe = CraftRecipe()
      (recipe.method, recipe.size, recipe.batch, recipe.passes) = (method, 64, 2, 2)
      (recipe.faces, recipe.poisonSteps, recipe.imageSteps) = (4, 2, 2)
      (recipe.featureProjection, recipe.featureLevels) = (8, .last)
      func make() throws -> Crafter {
        try Crafter(
          recipe, faces: smallFaces(4, size: 64), generators: [smallGenerator(on: device)], detectors: [retinaface],
          device: device)
      }
      let whole = try make()
      // What adapts to each image by itself has no batches.
      if whole.stepCount == 0 { continue }
      let first = try make()
      for _ in 0..<whole.stepCount { try whole.craftStep() }
      for _ in 0..<whole.stepCount - 1 { try first.craftStep() }
      let checkpoint = folder.appendingPathComponent("\(method.rawValue).checkpoint")
      try first.writeCheckpoint(to: checkpoint)
      let second = try make()
      try second.restore(from: checkpoint)
      try second.craftStep()
      let (a, b) = (try whole.perturbation.values(), try second.perturbation.values())
      XCTAssertEqual(a, b, method.rawValue)
      XCTAssertTrue(a.allSatisfy { abs($0) <= recipe.epsilon }, method.rawValue)

      recipe.seed = 2
      XCTAssertThrowsError(try make().restore(from: checkpoint)) {
        XCTAssertTrue("\($0)".contains("was made with other options"), "\($0)")
      }
    }
  }

  /// A model of no weight changes nothing; one of some weight does.
  func testWeightsOfModels() throws {
    let device = try selectDevice().device
    let retinaface = try loadDetector("retinaface", from: projectURL("models"), on: device)
    func crafted(_ detectors: [any FaceDetector], _ weight: Float) throws -> [Float] {
      var recipe = CraftRecipe()
      (recipe.size, recipe.batch, recipe.passes, recipe.faces) = (64, 2, 2, 4)
      recipe.weights = ["retinaface": weight]
      let crafter = try Crafter(
        recipe, faces: smallFaces(4, size: 64), generators: [smallGenerator(on: device)], detectors: detectors,
        device: device)
      for _ in 0..<crafter.stepCount { try crafter.craftStep() }
      return try crafter.perturbation.values()
    }
    let alone = try crafted([], 1)
    XCTAssertEqual(try crafted([retinaface], 0), alone)
    XCTAssertGreaterThan(relativeError(try crafted([retinaface], 1), alone), 0.1)
  }

  /// The model of JPEG makes of a picture in colours what JPEG makes of it, but for coefficients that rounded samples tip over, and the filter that brings
  /// colours back to full size.
  func testJPEGModelAgainstJPEGInColours() throws {
    let device = try selectDevice().device
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let image = try Image.images(from: squareImage(photo, size: 96, device: device).tensor(on: device))[0]
    let original = try image.tensor(on: device)
    for (quality, subsampling, share) in [(50, ChromaSubsampling.full, 0.4), (90, .full, 0.55), (50, .halved, 0.4)] {
      let saved = try jpegRoundTrip(image, quality: quality, subsampling: subsampling).tensor(on: device)
      let modelled = try JPEGModel(quality: quality, subsampling: subsampling, device: device)(original)
      let removed = try original.meanSquaredError(to: saved).sqrt().item()
      let missed = try modelled.meanSquaredError(to: saved).sqrt().item()
      XCTAssertLessThan(Double(missed / removed), share, "\(quality) \(subsampling)")
    }
  }

  /// The model of JPEG removes from a picture what JPEG removes from it, and lets gradients through what is left.
  func testJPEGModelAgainstJPEG() throws {
    let device = try selectDevice().device
    var random = RandomStream(seed: 5)
    let (width, height) = (67, 45)
    let noise = try random.uniform([height * width], in: -9..<9, device: device).values()
    let image = Image(
      width: width, height: height, channels: 3,
      bytes: (0..<height * width).flatMap { i -> [UInt8] in
        let gray = UInt8(60 + 2 * (i % width) + Int(noise[i].rounded()))
        return [gray, gray, gray]
      })
    func tensor(_ image: Image) throws -> Tensor {
      try Tensor(
        (0..<3).flatMap { c in (0..<height * width).map { Float(image.bytes[3 * $0 + c]) / 127.5 - 1 } },
        shape: [1, 3, height, width], device: device)
    }
    func rootMeanSquare(_ a: Tensor, _ b: Tensor) throws -> Float { try a.meanSquaredError(to: b).sqrt().values()[0] }
    let original = try tensor(image)
    let compressed = try tensor(jpegRoundTrip(image, quality: 50))
    let leaf = original.requiringGradient()
    let modelled = try JPEGModel(quality: 50, device: device)(leaf)
    XCTAssertEqual(modelled.shape, original.shape)
    let (removed, missed) = (try rootMeanSquare(original, compressed), try rootMeanSquare(modelled, compressed))
    XCTAssertTrue(missed < 0.5 * removed, "\(missed) of \(removed)")
    // At the best quality coefficients are rounded to whole samples: an error of 1 / sqrt(12) of one.
    let rounding = try rootMeanSquare(JPEGModel(quality: 100, device: device)(original), original)
    XCTAssertEqual(rounding * 127.5 * Float(12).squareRoot(), 1, accuracy: 0.3)

    // The picture is left, so a gradient along it is; the noise is removed, so a gradient along noise mostly is.
    let upstream = try random.normal(original.shape, device: device)
    let gradient = try gradients(of: modelled, withRespectTo: [leaf], seed: upstream)[0]
    let share = try gradient.squared().sum().values()[0] / upstream.squared().sum().values()[0]
    XCTAssertTrue(share > 0 && share < 0.3, "\(share)")
    let constant = try Tensor(repeating: 1, shape: original.shape, device: device)
    let kept = try gradients(
      of: JPEGModel(quality: 50, device: device)(leaf), withRespectTo: [leaf], seed: constant)[0]
    XCTAssertEqual(try kept.sliced(axis: 2, 0..<32).sliced(axis: 3, 0..<64).mean().values()[0], 1, accuracy: 0.02)
  }

  /// The term of the paper's code that invites false faces on S3FD's first head does so.
  func testInvitingFalseFaces() throws {
    let device = try selectDevice().device
    let detector = try S3FD(seed: 2, device: device)
    let faces = smallFaces(2, size: 64)
    func firstHead(invitation: Float) throws -> Float {
      var recipe = CraftRecipe()
      (recipe.method, recipe.size, recipe.batch, recipe.passes, recipe.faces) = (.tsdf, 64, 2, 1, 2)
      (recipe.poisonSteps, recipe.invitationWeight, recipe.usesMask) = (30, invitation, false)
      recipe.epsilon = 0.3
      let crafter = try Crafter(
        recipe, faces: faces, generators: [smallGenerator(on: device)], detectors: [detector], device: device)
      for _ in 0..<crafter.stepCount { try crafter.craftStep() }
      let heads = try detector.heads(faces.batch([0, 1], on: device) + crafter.perturbation)
      XCTAssertEqual(heads.maxOutPriors, 16 * 16)
      return try heads.margins().sliced(axis: 1, 0..<heads.maxOutPriors).mean().values()[0]
    }
    let (uninvited, invited) = (try firstHead(invitation: 0), try firstHead(invitation: 20))
    XCTAssertTrue(invited > uninvited + 0.003, "\(invited) against \(uninvited)")
  }

  /// A batch that does not fit is worked on in slices, with the same gradients.
  func testBatchesThatDoNotFitAreSplit() throws {
    func gradient(on device: any Device, _ slicer: BatchSlicer) throws -> [Float] {
      let generator = try smallGenerator(on: device)
      let images = try smallFaces(12, size: 64).batch(Array(0..<12), on: device)
      let condition = Condition(try Tensor([Float](repeating: 1, count: 24), shape: [12, 2], device: device))
      let leaf = try Tensor(repeating: 0.01, shape: [1, 3, 64, 64], device: device).requiringGradient()
      let found = try slicer.gradient(through: images + leaf, to: leaf) { images, range in
        let loss = try generator(images, condition: condition.slice(range)).image.squared().mean()
        return (loss, [loss])
      }
      return try found.gradient.values() + [found.reported[0].item()]
    }
    for request in try ["cpu"] + (openCLDevices().isEmpty ? [] : ["opencl"]) {
      let whole = try selectDevice(request).device
      let narrow = try selectDevice(request, memoryLimit: 8 << 20).device
      let (free, tight) = (BatchSlicer(device: whole), BatchSlicer(device: narrow))
      let (expected, found) = (try gradient(on: whole, free), try gradient(on: narrow, tight))
      XCTAssertNil(free.sliceLength)
      let length = try XCTUnwrap(tight.sliceLength, "12 images fitted in 8 MiB on \(narrow.name)")
      XCTAssertTrue(length < 12, "\(length)")
      XCTAssertLessThanOrEqual(narrow.memory.peak, 8 << 20)
      XCTAssertLessThan(relativeError(found, expected), 1e-4)
      XCTAssertThrowsError(try gradient(on: selectDevice(request, memoryLimit: 1 << 20).device, tight)) {
        guard case KernelsError.outOfMemory = $0 else { return XCTFail("\($0)") }
      }
    }
  }

  /// What excludes the attribute that is switched on is switched off.
  func testEditsOfExclusiveAttributes() {
    let hair = ["Bald", "Bangs", "Black_Hair", "Blond_Hair", "Male"]
    XCTAssertEqual(editCondition(hair, labels: [0, 1, 1, 0, 0], toggling: 3), [0, 1, 0, 1, 0])
    XCTAssertEqual(editCondition(hair, labels: [0, 1, 1, 0, 0], toggling: 0), [1, 0, 1, 0, 0])
    XCTAssertEqual(editCondition(hair, labels: [0, 1, 1, 0, 0], toggling: 1), [0, 0, 1, 0, 0])
    XCTAssertEqual(editCondition(["Male", "Child", "Young"], labels: [1, 1, 0], toggling: 2), [1, 0, 1])
    XCTAssertEqual(editCondition(["Male", "Child", "Young"], labels: [1, 1, 0], toggling: 1), [1, 1, 0])
    // Of what excludes each other the likeliest counts; a face has one of the ages, whatever the logits.
    XCTAssertEqual(labels(logits: [1, -3, 2, 3, -1], of: hair), [1, 0, 0, 1, 0])
    XCTAssertEqual(labels(logits: [0.5, -3, -2], of: ["Male", "Child", "Young"]), [1, 0, 1])
    XCTAssertEqual(labels(logits: [-0.5, 3, 2], of: ["Male", "Child", "Young"]), [0, 1, 0])
    let tags = StyleTag.parse("Male;Child,Young")
    XCTAssertEqual(tags.map(\.attributes), [["no Male", "Male"], ["Child", "Young"]])
  }

  /// A folder that may not be listed is named, and the rest of the work goes on.
  func testUnreadableFolder() throws {
    let (open, locked) = (folder.appendingPathComponent("open"), folder.appendingPathComponent("locked"))
    for url in [open, locked] { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
    try encodePNG(Image(width: 1, height: 1, channels: 3, bytes: [1, 2, 3])).write(
      to: open.appendingPathComponent("a.png"))
    chmod(locked.path, 0)
    chmod(folder.path, 0o755)
    chmod(open.path, 0o755)
    defer { chmod(locked.path, 0o755) }
    // Root may list anything, so it steps down for the moment.
    let isRoot = geteuid() == 0
    if isRoot { XCTAssertEqual(seteuid(65534), 0) }
    defer { if isRoot { seteuid(0) } }
    let work = try WorkList([folder.path])
    XCTAssertEqual(work.items.map(\.relativePath), ["open/a.png"])
    XCTAssertEqual(work.failures.count, 1)
    XCTAssertTrue("\(work.failures[0])".contains("locked: cannot be read"), "\(work.failures)")
  }

  /// A perturbation of another version of tsdf keeps what is known of its recipe.
  func testRecipesOfOtherVersions() throws {
    let device = CPUDevice()
    let url = folder.appendingPathComponent("other.safetensors")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let zero = try Tensor(repeating: 0, shape: [1, 3, 64, 64], device: device)
    try Safetensors.write(
      ["perturbation": zero],
      metadata: ["epsilon": "0.04", "recipe": #"{"method": "pgd", "imageSteps": 3, "ofAnother": true}"#], to: url)
    let (_, epsilon, recipe) = try loadPerturbation(url, on: device)
    XCTAssertEqual(epsilon, 0.04)
    XCTAssertEqual(recipe?.method, .pgd)
    XCTAssertEqual(recipe?.imageSteps, 3)
    XCTAssertEqual(recipe?.imageStepSize, CraftRecipe().imageStepSize)
  }

  func testShippedWeightsLoad() throws {
    let device = CPUDevice()
    for name in generatorNames {
      let generator = try loadGenerator(projectURL("weights/\(name).safetensors"), on: device)
      XCTAssertEqual(type(of: generator).name, name)
      XCTAssertEqual(generator.attributes, ["Male", "Child", "Young", "Middle", "Senior"])
      XCTAssertEqual(generator.imageSize, 96)
    }
    let (perturbation, epsilon, recipe) = try loadPerturbation(
      projectURL("weights/perturbation.safetensors"), on: device)
    XCTAssertEqual(recipe?.method, .joint)
    XCTAssertEqual(perturbation.shape, [1, 3, 256, 256])
    XCTAssertEqual(epsilon, 0.05)
    XCTAssertTrue(try perturbation.values().allSatisfy { abs($0) <= 0.05 })
  }
}
