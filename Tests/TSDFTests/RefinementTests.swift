import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// What refinement makes of single pictures and of photos.
final class RefinementTests: XCTestCase {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tsdf-\(UUID().uuidString)")

  /// A picture as a protector with the shipped perturbation makes it.
  private func protected(
    _ picture: Image, _ settings: ProtectionSettings, finder: (any FaceDetector)? = nil, _ refiner: Refiner,
    on device: any Device
  ) throws -> ProtectionResult {
    let (universal, _, _) = try loadPerturbation(projectURL("weights/perturbation.safetensors"), on: device)
    return try Protector(
      perturbation: universal, settings: settings, detectors: finder.map { [$0] } ?? [], refiner: refiner,
      device: device
    ).protect(picture)
  }

  /// What all steps of refinement move an image by.
  private func refined(
    _ refiner: Refiner, _ image: Tensor, start: Tensor?, steps: Int, epsilon: Float, seed: UInt64 = 1
  ) throws -> Tensor {
    try refiner.finish(refiner.refinement(of: image, start: start, steps: steps, epsilon: epsilon, seed: seed))
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
        let delta = try refined(
          Refiner(generators: [], detectors: [retinaface], goal: goal, views: views, device: device), image,
          start: zero,
          steps: 20, epsilon: 0.1)
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
      try refined(
        Refiner(generators: [], detectors: [mtcnn], goal: .flood, device: device), image, start: zero, steps: 1,
        epsilon: 0.1)
    ) { XCTAssertTrue("\($0)".contains("mtcnn has later stages"), "\($0)") }
  }

  /// A face that is hidden stays hidden when pixels are cut off: detectors halve pictures, so another part of each cell is seen then.
  func testFacesStayHiddenWhenPixelsAreCutOff() throws {
    let device = try selectDevice().device
    let retinaface = try loadDetector("retinaface", from: projectURL("models"), on: device)
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let image = try squareImage(photo, size: 256, device: device).tensor(on: device)
    let delta = try refined(
      Refiner(generators: [], detectors: [retinaface], goal: .hide, views: [], device: device), image, start: nil,
      steps: 100, epsilon: 0.1)
    for (rows, columns) in [(0, 0), (1, 1), (3, 2), (13, 5), (17, 30)] {
      func found(_ x: Tensor) throws -> Int {
        try retinaface.detect(x.sliced(axis: 2, rows..<256).sliced(axis: 3, columns..<256), threshold: 0.7).count
      }
      XCTAssertEqual(try found(image), 1)
      XCTAssertEqual(try found(image + delta), 0, "\(rows) rows and \(columns) columns less")
    }
  }

  /// Whole photos: what protecting says of faces still found is what the detector says; a step leaves the face there, enough
  /// steps do not, also where detectors see the photo shrunk.
  func testFacesStillFoundInPhotos() throws {
    let device = try selectDevice().device
    let retinaface = try loadDetector("retinaface", from: projectURL("models"), on: device)
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    let large = try Image.images(from: photo.tensor(on: device).resized(height: 1400, width: 1400))[0]
    let oneShot = try ["centerface", "blazeface-short"].map {
      try loadDetector($0, from: projectURL("models"), on: device)
    }
    for (photo, steps, expected, detector) in [
      (photo, 0, nil, retinaface), (photo, 1, 1, retinaface), (photo, 40, 0, retinaface), (large, 40, 0, retinaface),
      (photo, 40, 0, oneShot[0]), (photo, 40, 0, oneShot[1]),
    ] as [(Image, Int, Int?, any FaceDetector)] {
      let clean = try detector.detectAll(in: photo, on: device).map(\.box)
      XCTAssertEqual(clean.count, 1)
      var settings = ProtectionSettings()
      settings.refineSteps = steps
      let result = try protected(
        photo, settings, finder: detector, Refiner(generators: [], detectors: [detector], device: device), on: device)
      XCTAssertEqual(result.faceCount, clean.count)
      XCTAssertEqual(result.stillFound?.count, expected, "\(detector.modelName), \(steps) steps")
      let seen = try detector.detectAll(in: result.image, on: device).map(\.box)
      let still = clean.count { face in seen.contains { $0.isOfSameFace(as: face) } }
      if steps > 0 { XCTAssertEqual(still, result.stillFound?.count, "\(detector.modelName), \(steps) steps") }
    }
  }

  /// Refinement breaks the generator's edit more than the perturbation that it starts from, within the budget.
  func testRefinementGoesWhereItShould() throws {
    let device = try selectDevice().device
    let generator = try smallGenerator(on: device)
    let image = try smallFaces(1, size: 64).batch([0], on: device)
    let zero = try Tensor(repeating: 0, shape: image.shape, device: device)
    let refined = try refined(
      Refiner(generators: [generator], detectors: [], device: device), image, start: zero, steps: 10, epsilon: 0.05)
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
    let refined = try refined(
      Refiner(generators: [HalfAmplifier()], detectors: [], views: [], device: device), image, start: image, steps: 40,
      epsilon: 0.05)
    for columns in [0..<32, 32..<64] {
      XCTAssertGreaterThan(try refined.sliced(axis: 3, columns).abs().mean().item(), 0.04)
    }
  }

  /// A denoiser whose weights make it the mean of 3 x 3 pixels.
  private func boxBlur(on device: any Device) throws -> Denoiser {
    var network = try Denoiser(width: 4, seed: 1, device: device)
    var values = try network.parameters.mapValues { [Float](repeating: 0, count: try $0.values().count) }
    for channel in 0..<3 {
      // Kept positive, where leaky ReLU changes nothing.
      values["first.bias"]![channel] = 2
      for (name, inputs) in [("first", 3), ("encoder.0", 4), ("decoder.0", 8)] {
        values["\(name).weight"]![(channel * inputs + channel) * 9 + 4] = 1
      }
      for tap in 0..<9 { values["last.weight"]![(channel * 4 + channel) * 9 + tap] = 1 / 9 - (tap == 4 ? 1 : 0) }
    }
    for (name, tensor) in network.parameters {
      network.parameters[name] = try Tensor(values[name]!, shape: tensor.shape, device: device)
    }
    return network
  }

  /// What is made through a purifier survives it better, also one without a gradient of its own.
  func testRefinementThroughPurifiers() throws {
    let device = try selectDevice().device
    let generator = try smallGenerator(on: device)
    let image = try smallFaces(1, size: 64).batch([0], on: device) * 0.3
    let network = try boxBlur(on: device)
    let denoiser = folder.appendingPathComponent("denoiser.safetensors")
    try Safetensors.write(network.parameters, metadata: [:], to: denoiser)
    for (text, gain) in [
      ("blur:1.5", 1.5), ("median:5", 1), ("jpeg:50", 1.1), ("resize:0.4@photo", 1.5), ("jpeg444:20@photo", 1.1),
      ("denoise", 1.5),
    ] as [(String, Float)] {
      func kept(_ views: [PurificationRecipe], seed: UInt64) throws -> Float {
        let delta = try refined(
          Refiner(generators: [generator], detectors: [], views: views, denoiser: denoiser, device: device), image,
          start: nil, steps: 60, epsilon: 0.02, seed: seed)
        let attack = try Purification(PurificationRecipe(text), denoiser: denoiser, on: device)
        func edit(_ x: Tensor) throws -> Tensor {
          var random = RandomStream(seed: 2)
          let seen = try attack(x, at: .photo, random: &random).resized(height: 32, width: 32, mode: .area)
          let condition = Condition(try Tensor([0, 1], shape: [1, 2], device: device))
          return try generator(attack(seen, at: .network, random: &random), condition: condition).image
        }
        return try edit(image + delta).meanSquaredError(to: edit(image)).item()
      }
      // A single run is as its noise has it.
      let seeds = UInt64(1)...4
      let through = try seeds.reduce(0) { try $0 + kept([PurificationRecipe(text)], seed: $1) }
      let without = try seeds.reduce(0) { try $0 + kept([], seed: $1) }
      XCTAssertGreaterThan(through, gain * without, text)
    }
    for text in ["average:3", "component:3"] {
      XCTAssertThrowsError(
        try Refiner(generators: [], detectors: [], views: [PurificationRecipe(text)], device: device)
      ) { XCTAssertTrue("\($0)".contains("cannot be crafted through"), "\($0)") }
    }
    XCTAssertThrowsError(
      try Refiner(generators: [], detectors: [], views: [PurificationRecipe("denoise:nowhere")], device: device)
    ) { XCTAssertTrue("\($0)".contains("nowhere"), "\($0)") }
  }

  /// Perturbations that begin at random are the same for the same picture and share next to nothing between pictures; those that
  /// begin at the universal one share that.
  func testRandomStarts() throws {
    let device = try selectDevice().device
    let pictures = try Image.images(from: smallFaces(2, size: 64).batch([0, 1], on: device))
    func moved(_ picture: Image, _ start: RefinementStart) throws -> [Float] {
      var settings = ProtectionSettings()
      (settings.region, settings.refineSteps, settings.start) = (.image, 1, start)
      let result = try protected(
        picture, settings, Refiner(generators: [smallGenerator(on: device)], detectors: [], device: device), on: device)
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

  /// In a photo the change fades out towards the border of the face's square, refined or not: nothing shows where it ends.
  func testChangeFadesOutTowardsTheSquare() throws {
    let device = try selectDevice().device
    let retinaface = try loadDetector("retinaface", from: projectURL("models"), on: device)
    let photo = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
    var sides: [Float] = []
    for steps in [0, 4] {
      var settings = ProtectionSettings()
      settings.refineSteps = steps
      let result = try protected(
        photo, settings, finder: retinaface, Refiner(generators: [], detectors: [retinaface], device: device),
        on: device)
      let square = result.regions[0]
      sides.append(square.width)
      /// The mean change, in levels, at a distance from the border on its left, over the middle half of its height.
      func change(at distance: Float) -> Float {
        let (x, y) = (Int(square.x0 + distance * square.width), Int(square.y0))
        let rows = y + Int(square.height) / 4..<y + Int(square.height) * 3 / 4
        let sum = rows.reduce(0) { sum, row in
          sum
            + (0..<3).reduce(0) {
              let i = 3 * (row * photo.width + x) + $1
              return $0 + abs(Int(result.image.bytes[i]) - Int(photo.bytes[i]))
            }
        }
        return Float(sum) / Float(3 * rows.count)
      }
      XCTAssertEqual(change(at: -0.02), 0)
      XCTAssertLessThan(change(at: 0.005), 0.3, "\(steps) steps")
      XCTAssertGreaterThan(change(at: 0.25), 1.5, "\(steps) steps")
    }
    // Refinement changes what is around the face's square too.
    XCTAssertEqual(sides[1] / sides[0], ProtectionSettings().extent / ProtectionSettings().margin, accuracy: 0.01)
  }

  /// A generator is given its part alone: what lies around it stays at the noise that refinement starts with.
  func testGeneratorsAreGivenTheirPart() throws {
    let device = try selectDevice().device
    var random = RandomStream(seed: 3)
    let image = try random.uniform([1, 3, 64, 64], in: -0.8..<0.8, device: device)
    let refiner = try Refiner(
      generators: [smallGenerator(on: device)], detectors: [], views: [], device: device)
    let epsilon: Float = 0.05
    let delta = try refiner.finish(
      refiner.refinement(
        of: image, start: Tensor(repeating: 0, shape: image.shape, device: device),
        given: ImagePart(rows: 8..<56, columns: 16..<64), steps: 12, epsilon: epsilon, seed: 1)
    ).values()
    for (i, value) in delta.enumerated() where !(8..<56).contains(i / 64 % 64) || i % 64 < 16 {
      XCTAssertLessThanOrEqual(abs(value), epsilon / 20 + 1e-6, "at \(i)")
    }
    XCTAssertGreaterThan(delta.map(abs).max()!, epsilon / 2)
  }

  /// What a detector is shown of a photo that was cut and shrunk, and where the part lies in it.
  func testFramesAfterChanges() throws {
    let device = try selectDevice().device
    // Each pixel's value tells its row and column.
    func expected(_ row: Int, _ column: Int) -> Float { Float(row) / 100 + Float(column) / 1000 - 0.5 }
    let pixels = (0..<3 * 80 * 100).map { expected($0 / 100 % 80, $0 % 100) }
    let image = try Tensor(pixels, shape: [1, 3, 80, 100], device: device)
    let frame = DetectorFrame(image, part: ImagePart(rows: 40..<60, columns: 20..<50))
    let change = try Tensor(repeating: 0.25, shape: [1, 3, 20, 30], device: device)
    let cut = try XCTUnwrap(frame.transformed(by: .init(rows: 10, columns: 5)))
    let box = try cut.shown().part
    XCTAssertEqual([box.x0, box.y0, box.x1, box.y1], [15, 30, 45, 50])
    let values = try cut.changed(by: change).values()
    XCTAssertEqual(values[0], expected(10, 5), accuracy: 1e-6)
    XCTAssertEqual(values[30 * 100 + 15], expected(40, 20) + 0.25, accuracy: 1e-6)
    XCTAssertEqual(values[30 * 100 + 14], expected(40, 19), accuracy: 1e-6)
    // Rows and columns that are missing are grey.
    XCTAssertEqual([values[69 * 100 + 96], values[70 * 100]], [0, 0])
    let shown = try XCTUnwrap(frame.transformed(by: .init(size: 0.6))).shown()
    XCTAssertEqual(shown.image.shape, [1, 3, 48, 60])
    for (edge, wanted) in zip([shown.part.x0, shown.part.y0, shown.part.x1, shown.part.y1], [Float(12), 24, 30, 36]) {
      XCTAssertEqual(edge, wanted, accuracy: 1e-4)
    }
    XCTAssertNil(frame.transformed(by: .init(size: 0.5)))
  }

  /// Generators share what one detector has, as do the looks of a detector; a further detector takes nothing from the others.
  func testWhatEachGoalCounts() throws {
    let device = CPUDevice()
    let aims = JointStep.Aims(epsilon: 0.5, interruptionTarget: 0.12, goal: .hide)
    // Of nothing reached, and with more than the way to go within reach: each counts as much as it may.
    let goals: [(name: String, isOfDetector: Bool, loss: Float)] = [
      ("a", false, 0.12), ("b", false, 0.12), ("c", true, 4), ("c", true, 4), ("d", true, 4),
    ]
    let pulls = try goals.enumerated().map { number, goal in
      var gradient = [Float](repeating: 0, count: 50)
      for pixel in 0..<10 { gradient[10 * number + pixel] = 5 }
      return try JointStep.Pull(
        of: goal.name, isOfDetector: goal.isOfDetector, loss: Tensor([goal.loss], shape: [], device: device),
        gradient: Tensor(gradient, shape: [1, 1, 1, 50], device: device))
    }
    let (total, needs) = try JointStep.combined(pulls, aims)
    let values = try XCTUnwrap(total).values()
    for (number, share) in [Float(0.5), 0.5, 0.5, 0.5, 1].enumerated() {
      XCTAssertEqual(values[10 * number], 5 * share, accuracy: 1e-4, goals[number].name)
    }
    XCTAssertEqual(try needs.map { try $0.item() }, [1, 1, 1, 1, 1])
  }

  /// Views are drawn without doubles, the first of them from those asked for, and what is far from the goal more often.
  func testViewsAreDrawnByNeed() {
    var choice = ViewChoice(count: 5)
    for (view, need) in [Float(0), 0, 1, 0, 0.5].enumerated() { choice.note(view, need: need) }
    var random = RandomStream(seed: 1)
    var counts = [Int](repeating: 0, count: 5)
    for _ in 0..<1000 {
      let drawn = choice.draw(2, first: [0, 3], random: &random)
      XCTAssertTrue([0, 3].contains(drawn[0]))
      XCTAssertNotEqual(drawn[0], drawn[1])
      counts[drawn[1]] += 1
    }
    // 1 to a quarter, and a hundredth for each of the two others.
    XCTAssertEqual(Float(counts[2]) / 1000, 1 / 1.27, accuracy: 0.05)
    XCTAssertEqual(Float(counts[4]) / 1000, 0.25 / 1.27, accuracy: 0.05)
    XCTAssertEqual(choice.draw(9, random: &random).sorted(), [0, 1, 2, 3, 4])
  }

  /// Flat places get the share of the budget that they may have, textured ones all of it.
  func testFlatPlacesChangeLess() throws {
    let device = try selectDevice().device
    let side = 64
    let bytes = (0..<3 * side * side).map { i -> UInt8 in
      let (x, y) = (i / 3 % side, i / 3 / side)
      return x < side / 2 ? 128 : (x / 2 + y / 2) % 2 == 0 ? 90 : 160
    }
    let picture = Image(width: side, height: side, channels: 3, bytes: bytes)
    var settings = ProtectionSettings()
    (settings.region, settings.refineSteps, settings.smoothShare) = (.image, 10, 0.5)
    let made = try protected(
      picture, settings, Refiner(generators: [smallGenerator(on: device)], detectors: [], device: device), on: device
    ).image
    /// The largest change of columns, in levels.
    func most(_ columns: Range<Int>) -> Int {
      (0..<3 * side * side).filter { columns.contains($0 / 3 % side) }
        .map { abs(Int(made.bytes[$0]) - Int(bytes[$0])) }.max()!
    }
    // 0.05 is 6.4 levels, half of it 3.2.
    XCTAssertEqual(most(0..<24), 3)
    XCTAssertEqual(most(40..<64), 6)
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
