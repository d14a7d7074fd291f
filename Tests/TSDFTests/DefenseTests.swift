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

  private func faces(_ count: Int, size: Int) -> FaceSet {
    let images = (0..<count).map { n in
      Image(
        width: size, height: size, channels: 3,
        bytes: (0..<3 * size * size).map { UInt8(($0 * 7 + n * 31 + $0 / (3 * size) * 5) % 256) })
    }
    return FaceSet(images: images, attributes: ["A", "B"], labels: images.map { _ in [1, 0] })
  }

  private func generator(on device: any Device) throws -> StarGANGenerator {
    try StarGANGenerator(
      width: 4, blocks: 1, attributes: ["A", "B"], imageSize: 32, seed: 3, device: device)
  }

  /// Crafting interrupted and resumed from its checkpoint gives the same bits as crafting in one go.
  func testCraftingResumesBitForBit() throws {
    let device = try selectDevice().device
    let retinaface = try loadDetector("retinaface", from: projectURL("models"), on: device)
    for method in [CraftMethod.joint, .tsdf, .interruption, .poison, .cmua, .found] {
      var recipe = CraftRecipe()
      (recipe.method, recipe.size, recipe.batch, recipe.passes) = (method, 64, 2, 2)
      (recipe.faces, recipe.poisonSteps, recipe.imageSteps) = (4, 2, 2)
      (recipe.featureProjection, recipe.featureLevels) = (8, .last)
      func make() throws -> Crafter {
        try Crafter(
          recipe, faces: faces(4, size: 64), generators: [generator(on: device)], detectors: [retinaface],
          device: device)
      }
      let whole = try make()
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
        recipe, faces: faces(4, size: 64), generators: [generator(on: device)], detectors: detectors, device: device)
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
    let faces = faces(2, size: 64)
    func firstHead(invitation: Float) throws -> Float {
      var recipe = CraftRecipe()
      (recipe.method, recipe.size, recipe.batch, recipe.passes, recipe.faces) = (.tsdf, 64, 2, 1, 2)
      (recipe.poisonSteps, recipe.invitationWeight, recipe.usesMask) = (30, invitation, false)
      recipe.epsilon = 0.3
      let crafter = try Crafter(
        recipe, faces: faces, generators: [generator(on: device)], detectors: [detector], device: device)
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
      let generator = try generator(on: device)
      let images = try faces(12, size: 64).batch(Array(0..<12), on: device)
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

  /// Hiding lowers what a detector says where faces are, flooding raises what it says elsewhere; each alone leaves the
  /// other be.
  func testDetectorGoals() throws {
    let device = try selectDevice().device
    let retinaface = try loadDetector("retinaface", from: projectURL("models"), on: device)
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let image = try squareImage(photo, size: 256, device: device).tensor(on: device)
    let clean = try retinaface.detect(image, threshold: 0.7).map(\.box)
    XCTAssertFalse(clean.isEmpty)
    let zero = try Tensor(repeating: 0, shape: image.shape, device: device)
    for views in [[], nil] as [[PurificationRecipe]?] {
      var found: [DetectorGoal: [Box]] = [:]
      for goal in DetectorGoal.allCases {
        let delta = try Refiner(
          generators: [], detectors: [retinaface], goal: goal, views: views, device: device
        ).refine(image, start: zero, steps: 20, epsilon: 0.1, seed: 1)
        found[goal] = try retinaface.detect(image + delta, threshold: 0.5).map(\.box)
      }
      func finds(_ goal: DetectorGoal) -> Bool { found[goal]!.contains { $0.iou(clean[0]) > 0.4 } }
      func invents(_ goal: DetectorGoal) -> Bool { found[goal]!.contains { $0.iou(clean[0]) < 0.1 } }
      XCTAssertFalse(finds(.hide))
      XCTAssertFalse(invents(.hide))
      XCTAssertTrue(finds(.flood))
      XCTAssertTrue(invents(.flood))
      XCTAssertTrue(invents(.both))
    }
    let mtcnn = try loadDetector("mtcnn", from: projectURL("models"), on: device)
    XCTAssertThrowsError(
      try Refiner(generators: [], detectors: [mtcnn], goal: .flood, device: device).refine(
        image, start: zero, steps: 1, epsilon: 0.1, seed: 1)
    ) { XCTAssertTrue("\($0)".contains("mtcnn has later stages"), "\($0)") }
  }

  /// Whole photos: what protecting says of faces still found is what the detector says; a step leaves the face there, enough
  /// steps do not, also where detectors see the photo shrunk.
  func testFacesStillFoundInPhotos() throws {
    let device = try selectDevice().device
    let retinaface = try loadDetector("retinaface", from: projectURL("models"), on: device)
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let large = try Image.images(from: photo.tensor(on: device).resized(height: 1400, width: 1400))[0]
    let (universal, _, _) = try loadPerturbation(projectURL("weights/perturbation.safetensors"), on: device)
    let oneShot = try ["centerface", "blazeface-short"].map {
      try loadDetector($0, from: projectURL("models"), on: device)
    }
    for (photo, steps, expected, detector) in [
      (photo, 0, nil, retinaface), (photo, 1, 1, retinaface), (photo, 40, 0, retinaface), (large, 40, 0, retinaface),
      (photo, 40, 0, oneShot[0]), (photo, 40, 0, oneShot[1]),
    ] as [(Image, Int, Int?, any FaceDetector)] {
      let clean = try detector.detect(photo, on: device).map(\.box)
      XCTAssertEqual(clean.count, 1)
      var settings = ProtectionSettings()
      settings.refineSteps = steps
      let result = try Protector(
        perturbation: universal, settings: settings, detector: detector,
        refiner: Refiner(generators: [], detectors: [detector], device: device), device: device
      ).protect(photo)
      XCTAssertEqual(result.faceCount, clean.count)
      XCTAssertEqual(result.stillFoundCount, expected, "\(detector.modelName), \(steps) steps")
      let seen = try detector.detect(result.image, on: device).map(\.box)
      let still = clean.count { face in seen.contains { $0.iou(face) >= 0.5 } }
      if steps > 0 { XCTAssertEqual(still, result.stillFoundCount, "\(detector.modelName), \(steps) steps") }
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
    let tags = StyleTag.parse("Male;Child,Young")
    XCTAssertEqual(tags.map(\.attributes), [["no Male", "Male"], ["Child", "Young"]])
  }

  /// Refinement breaks the generator's edit more than the perturbation that it starts from, within the budget.
  func testRefinementGoesWhereItShould() throws {
    let device = try selectDevice().device
    let generator = try generator(on: device)
    let image = try faces(1, size: 64).batch([0], on: device)
    let zero = try Tensor(repeating: 0, shape: image.shape, device: device)
    let refined = try Refiner(generators: [generator], detectors: [], device: device).refine(
      image, start: zero, steps: 10, epsilon: 0.05, seed: 1)
    XCTAssertTrue(try refined.values().allSatisfy { abs($0) <= 0.05 + 1e-6 })
    XCTAssertTrue(try (image + refined).values().allSatisfy { abs($0) <= 1 + 1e-6 })
    let condition = Condition(try Tensor([0, 1], shape: [1, 2], device: device))
    func edit(_ x: Tensor) throws -> Tensor {
      try generator(x.resized(height: 32, width: 32, mode: .area), condition: condition).image
    }
    var random = RandomStream(seed: 4)
    let noise = try random.uniform(image.shape, in: -0.05..<0.05, device: device)
    let broken = try edit(image + refined).meanSquaredError(to: edit(image)).item()
    let shaken = try edit(image + noise).meanSquaredError(to: edit(image)).item()
    XCTAssertGreaterThan(broken, 10 * shaken)
  }

  /// Refinement breaks every edit of a generator, not one that happened to be drawn.
  func testRefinementBreaksAllEdits() throws {
    let device = try selectDevice().device
    let image = try Tensor(repeating: 0, shape: [1, 3, 64, 64], device: device)
    let refined = try Refiner(generators: [HalfAmplifier()], detectors: [], views: [], device: device)
      .refine(image, start: image, steps: 40, epsilon: 0.05, seed: 1)
    for columns in [0..<32, 32..<64] {
      XCTAssertGreaterThan(try refined.sliced(axis: 3, columns).abs().mean().item(), 0.04)
    }
  }

  /// What is made through a purifier survives it better, also one without a gradient of its own.
  func testRefinementThroughPurifiers() throws {
    let device = try selectDevice().device
    let generator = try generator(on: device)
    let image = try faces(1, size: 64).batch([0], on: device) * 0.3
    for text in ["blur:1.5", "median:5", "jpeg:50", "resize:0.4@photo", "jpeg444:40@photo"] {
      func kept(_ views: [PurificationRecipe]) throws -> Float {
        let delta = try Refiner(generators: [generator], detectors: [], views: views, device: device)
          .refine(image, start: nil, steps: 60, epsilon: 0.05, seed: 1)
        let attack = try Purification(PurificationRecipe(text), denoiser: folder, on: device)
        func edit(_ x: Tensor) throws -> Tensor {
          var random = RandomStream(seed: 2)
          let seen = try attack(x, at: .photo, random: &random).resized(height: 32, width: 32, mode: .area)
          let condition = Condition(try Tensor([0, 1], shape: [1, 2], device: device))
          return try generator(attack(seen, at: .network, random: &random), condition: condition).image
        }
        return try edit(image + delta).meanSquaredError(to: edit(image)).item()
      }
      let (through, without) = (try kept([PurificationRecipe(text)]), try kept([]))
      XCTAssertGreaterThan(through, 1.2 * without, text)
    }
    for text in ["average:3", "denoise"] {
      XCTAssertThrowsError(
        try Refiner(generators: [], detectors: [], views: [PurificationRecipe(text)], device: device)
      ) { XCTAssertTrue("\($0)".contains("cannot be crafted through"), "\($0)") }
    }
  }

  /// Perturbations that begin at random are the same for the same picture and share next to nothing between pictures; those that
  /// begin at the universal one share that.
  func testRandomStarts() throws {
    let device = try selectDevice().device
    let (universal, _, _) = try loadPerturbation(projectURL("weights/perturbation.safetensors"), on: device)
    let pictures = try Image.images(from: faces(2, size: 64).batch([0, 1], on: device))
    func moved(_ picture: Image, _ start: RefinementStart) throws -> [Float] {
      var settings = ProtectionSettings()
      (settings.region, settings.refineSteps, settings.start) = (.image, 3, start)
      let result = try Protector(
        perturbation: universal, settings: settings, detector: nil,
        refiner: Refiner(generators: [generator(on: device)], detectors: [], device: device), device: device
      ).protect(picture)
      return zip(result.image.bytes, picture.bytes).map { Float($0) - Float($1) }
    }
    func correlation(_ start: RefinementStart) throws -> Float {
      let (a, b) = (try moved(pictures[0], start), try moved(pictures[1], start))
      func product(_ x: [Float], _ y: [Float]) -> Float { zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } }
      return product(a, b) / (product(a, a) * product(b, b)).squareRoot()
    }
    XCTAssertEqual(try moved(pictures[0], .random), try moved(pictures[0], .random))
    let (random, common) = (try correlation(.random), try correlation(.universal))
    XCTAssertLessThan(abs(random), 0.15)
    XCTAssertGreaterThan(common, 0.5)
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

/// A generator of two edits, each of which amplifies one half of the image and shows nothing of the other.
private struct HalfAmplifier: Generator {
  static let name = "half-amplifier"
  static let checkpointKeys: [String] = []

  var parameters: [String: Tensor] = [:]
  let attributes = ["left", "right"]
  let imageSize = 64

  init() {}
  init(_ state: StateDictionary, _ description: GeneratorDescription) {}

  func callAsFunction(_ images: Tensor, condition: Condition) throws -> GeneratorOutput {
    let halves = try (0..<2).map { half in
      try images.sliced(axis: 3, half * 32..<half * 32 + 32)
        * condition.values.sliced(axis: 1, half..<half + 1).reshaped([images.shape[0], 1, 1, 1])
    }
    return GeneratorOutput(image: try Tensor.concatenated(halves, axis: 3) * 10, feature: images)
  }
}
