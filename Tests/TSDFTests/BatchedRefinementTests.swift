import Kernels
import Networks
import Pictures
import Synchronization
import TSDF
import TestSupport
import XCTest

/// Refining several pictures together.
final class BatchedRefinementTests: XCTestCase {
  /// Under a plan for batches of a size, what a network says of an image, and its gradient, are the same bits alone and among others.
  func testNetworksDoNotMindTheBatch() throws {
    func assertAlike(
      _ name: String, _ images: Tensor, on device: any Device, _ output: (Tensor, Range<Int>) throws -> Tensor
    ) throws {
      func made(_ range: Range<Int>) throws -> [[Float]] {
        let leaf = try images.slice(range).requiringGradient()
        let out = try output(leaf, range)
        let gradient = try gradients(of: out.squared().sum(), withRespectTo: [leaf])[0]
        return try [out, gradient].map { Array(try $0.values().suffix($0.count / range.count)) }
      }
      try device.planning(forBatchesOf: 5) {
        let alone = try made(4..<5)
        XCTAssertGreaterThan(alone[1].map(abs).max()!, 0, name)
        for first in [3, 0] { XCTAssertEqual(try made(first..<5), alone, "\(name) on \(device.name), from \(first)") }
      }
    }
    for device in try testDevices() {
      var random = RandomStream(seed: 1)
      let names = device is CPUDevice ? ["stargan"] : generatorNames
      for name in names {
        let generator = try loadGenerator(projectURL("weights/\(name).safetensors"), on: device)
        let side = device is CPUDevice ? 32 : generator.imageSize
        let images = try random.uniform([5, 3, side, side], in: -1..<1, device: device)
        let condition = try generator.condition(
          [Int](repeating: 0, count: 5),
          labels: (0..<5).map { n in generator.attributes.indices.map { Float(($0 + n) % 2) } }, random: &random,
          device: device)
        try assertAlike(name, images, on: device) { try generator($0, condition: condition.slice($1)).image }
      }
      guard !(device is CPUDevice) else { continue }
      for name in ["retinaface", "mtcnn"] {
        let detector = try loadDetector(name, from: projectURL("models"), on: device)
        let images = try random.uniform([5, 3, 130, 110], in: -1..<1, device: device)
        try assertAlike(name, images, on: device) { images, _ in try detector.heads(images).margins() }
      }
    }
  }

  /// Pictures of several sizes, some of which begin when others are half done, come out as each does alone; where memory is short they
  /// go in parts.
  func testRefinementsDoNotMindTheirCompany() throws {
    for device in try testDevices() {
      let sizes = [64, 48, 64, 80]
      let detector = try loadDetector("retinaface", from: projectURL("models"), on: device)
      func started(_ refiner: Refiner) throws -> [Refinement] {
        try sizes.enumerated().map { index, size in
          try refiner.refinement(
            of: smallFaces(4, size: size).batch([index], on: device), start: nil, steps: 12 + index, epsilon: 0.05,
            seed: UInt64(index))
        }
      }
      let one = try Refiner(
        generators: [smallGenerator(on: device)], detectors: [detector], batch: 3, device: device)
      let alone = try started(one).map { try one.finish($0).values() }
      XCTAssertGreaterThan(alone[0].map(abs).max()!, 0.03)
      let many = try started(one)
      try one.advance([many[0]])
      while !many.allSatisfy(\.isDone) { try one.advance(many) }
      XCTAssertEqual(try many.map { try $0.delta().values() }, alone, device.name)
      XCTAssertEqual(many.map(\.step), [12, 13, 14, 15])
    }
  }

  /// Pictures that are protected together, and from several threads, come out as each does alone.
  func testPicturesDoNotMindTheirCompany() throws {
    func protector(on device: any Device) throws -> Protector {
      var settings = ProtectionSettings()
      (settings.region, settings.refineSteps) = (.image, 10)
      return try Protector(
        perturbation: Tensor(repeating: 0, shape: [1, 3, 64, 64], device: device), settings: settings, detectors: [],
        refiner: Refiner(generators: [smallGenerator(on: device)], detectors: [], batch: 3, device: device),
        device: device)
    }
    let device = try selectDevice().device
    let pictures = try [64, 96, 64, 70, 48].enumerated().map { index, size in
      try Image.images(from: smallFaces(5, size: size).batch([index], on: device))[0]
    }
    let alone = try pictures.map { try protector(on: device).protect($0).image.bytes }
    XCTAssertEqual(try protector(on: device).protect(pictures).map(\.image.bytes), alone)
    let shared = try SharedProtector(devices: 2) { _ in try protector(on: selectDevice().device) }
    XCTAssertEqual(shared.batch, 6)
    let together = Mutex([Int: [UInt8]]())
    DispatchQueue.concurrentPerform(iterations: pictures.count) { index in
      let made = try? shared.protect(pictures[index]).image.bytes
      together.withLock { $0[index] = made }
    }
    XCTAssertEqual(together.withLock { all in pictures.indices.map { all[$0] } }, alone)
  }

  /// Where memory is short pictures go in parts, and one whose step fails alone goes no further; the others are done.
  func testOneFailsAlone() throws {
    let device = try selectDevice().device
    func all(_ refiner: Refiner, _ brightness: [Float]) throws -> [Refinement] {
      try brightness.enumerated().map { index, factor in
        try refiner.refinement(
          of: smallFaces(4, size: 64).batch([index], on: device) * 0.2 + factor, start: nil, steps: 9, epsilon: 0.05,
          seed: UInt64(index))
      }
    }
    func refiner(_ generator: any Generator) throws -> Refiner {
      try Refiner(generators: [generator], detectors: [], views: [], batch: 4, device: device)
    }
    let plain = try refiner(smallGenerator(on: device))
    let expected = try all(plain, [0, 0.1, 0.2, 0.3]).map { try plain.finish($0).values() }
    let choosy = try refiner(ChoosyGenerator(plain: smallGenerator(on: device)))
    let four = try all(choosy, [0, 0.1, 0.2, 0.3])
    while !four.allSatisfy(\.isDone) { try choosy.advance(four) }
    XCTAssertEqual(try four.map { try $0.delta().values() }, expected)
    let withDark = try all(choosy, [0, 0.1, -0.7, 0.3])
    while !withDark.allSatisfy(\.isDone) { try choosy.advance(withDark) }
    for index in [0, 1, 3] { XCTAssertEqual(try withDark[index].delta().values(), expected[index]) }
    XCTAssertThrowsError(try withDark[2].delta()) { XCTAssertTrue("\($0)".contains("too dark"), "\($0)") }
  }
}

/// A generator that has memory for two images, and none for a dark one where it takes gradients.
private struct ChoosyGenerator: Generator {
  static let name = "choosy"
  static let checkpointKeys: [String] = []

  var plain: StarGANGenerator
  var parameters: [String: Tensor] {
    get { plain.parameters }
    set { plain.parameters = newValue }
  }
  var attributes: [String] { plain.attributes }
  var imageSize: Int { plain.imageSize }

  init(plain: StarGANGenerator) { self.plain = plain }
  init(_ state: StateDictionary, _ description: GeneratorDescription) throws {
    plain = try StarGANGenerator(state, description)
  }

  func callAsFunction(_ images: Tensor, condition: Condition) throws -> GeneratorOutput {
    guard images.shape[0] <= 2 else { throw KernelsError.outOfMemory(device: "choosy", bytes: 1) }
    if images.requiresGradient, try images.mean(axes: [1, 2, 3]).values().contains(where: { $0 < -0.4 }) {
      throw KernelsError.usage("too dark")
    }
    return try plain(images, condition: condition)
  }
}
