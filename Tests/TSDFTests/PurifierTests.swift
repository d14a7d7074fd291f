import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// What attackers do to pictures without training anything.
final class PurifierTests: XCTestCase {
  private let device: any Device = try! selectDevice().device
  private let nowhere = URL(fileURLWithPath: "/nowhere")

  private func purify(
    _ text: String, _ images: Tensor, collection: Tensor? = nil, seed: UInt64 = 1, denoiser: URL? = nil
  ) throws -> [Float] {
    var random = RandomStream(seed: seed)
    let attack = try Purification(PurificationRecipe(text), denoiser: denoiser ?? nowhere, on: device)
    return try attack(
      images, at: .network, collection: { try collection?.slice(0..<min($0, collection!.shape[0])) }, random: &random
    ).values()
  }

  private func noise(_ shape: Shape, seed: UInt64 = 5) throws -> Tensor {
    var random = RandomStream(seed: seed)
    return try random.uniform(shape, in: -1..<1, device: device)
  }

  func testTexts() throws {
    XCTAssertEqual(
      try PurificationRecipe.list("jpeg:50,blur:1@photo,resize:0.5@photo+median:3").map(\.name),
      [
        "jpeg:50", "blur:1@photo", "resize:0.5@photo+median:3",
      ])
    XCTAssertEqual(try PurificationRecipe("jpeg:50"), try PurificationRecipe("jpeg:50"))
    for (text, message) in [
      ("", "there is no purifier"), ("jpeg", "whole number from 1 to 100"), ("jpeg:50.5", "whole number"),
      ("jpeg:0", "from 1 to 100"), ("jpeg:nan", "from 1 to 100"), ("blur:x", "number from 0.1 to 20"),
      ("median:4", "odd"), ("median:17", "from 3 to 15"), ("blur:1@sensor", "place sensor"),
      ("average", "how many"), ("average:0", "how many"), ("sharpen:1", "no purifier sharpen"),
      ("blur:1+", "no purifier"),
    ] {
      XCTAssertThrowsError(try PurificationRecipe(text)) { XCTAssertTrue("\($0)".contains(message), "\(text): \($0)") }
    }
  }

  func testBlurIsAMeanOfWhatIsThere() throws {
    let grey = try Tensor(repeating: 0.5, shape: [2, 3, 9, 14], device: device)
    XCTAssertTrue(try purify("blur:2", grey).allSatisfy { abs($0 - 0.5) < 1e-5 })
    var dot = [Float](repeating: 0, count: 21 * 21)
    dot[10 * 21 + 10] = 1
    let spread = try purify("blur:1.5", Tensor(dot, shape: [1, 1, 21, 21], device: device))
    let weights = (-5...5).map { exp(-Float($0 * $0) / 4.5) }
    let sum = weights.reduce(0, +)
    for (dy, dx) in [(0, 0), (0, 3), (2, -4), (5, 5)] {
      XCTAssertEqual(spread[(10 + dy) * 21 + 10 + dx], weights[5 + dy] * weights[5 + dx] / sum / sum, accuracy: 1e-6)
    }
    XCTAssertEqual(spread[10 * 21 + 4], 0, accuracy: 1e-7)
  }

  func testMedianTakesDotsAway() throws {
    var values = [Float](repeating: 0.25, count: 7 * 8)
    for place in [0, 9, 29, 55] { values[place] = 1 }
    let image = try Tensor(values, shape: [1, 1, 7, 8], device: device)
    XCTAssertTrue(try purify("median:3", image).allSatisfy { $0 == 0.25 })
  }

  func testJPEGIsTheCodecs() throws {
    let images = try noise([2, 3, 24, 17])
    let expected = try Image.images(from: images).flatMap { try jpegRoundTrip($0, quality: 60).planes() }
    XCTAssertEqual(try purify("jpeg444:60", images), expected)
    // Colours at half the size: grey stays what it is, colours change more.
    let grey = try images.mean(axes: [1], keepingAxes: true).broadcast(to: images.shape)
    XCTAssertEqual(try purify("jpeg:60", grey), try purify("jpeg444:60", grey))
    func error(_ text: String) throws -> Double { relativeError(try purify(text, images), try images.values()) }
    XCTAssertGreaterThan(try error("jpeg:60"), try 1.2 * error("jpeg444:60"))
    XCTAssertGreaterThan(try error("jpeg:10"), try error("jpeg:90"))
  }

  func testResize() throws {
    let columns = try Tensor((0..<16).map { $0 % 2 == 0 ? 1 : -1 }, shape: [1, 1, 1, 16], device: device)
    let stripes = try columns.broadcast(to: [1, 3, 16, 16])
    XCTAssertTrue(try purify("resize:0.5", stripes).allSatisfy { abs($0) < 1e-6 })
    XCTAssertEqual(try purify("resize:1", stripes), try stripes.values())
  }

  func testNoiseAndSalt() throws {
    let black = try Tensor(repeating: 0, shape: [1, 3, 64, 64], device: device)
    let noise = try purify("noise:0.03", black)
    let deviation = (noise.reduce(0) { $0 + $1 * $1 } / Float(noise.count)).squareRoot()
    XCTAssertEqual(deviation, 0.06, accuracy: 0.002)
    XCTAssertEqual(noise, try purify("noise:0.03", black))
    XCTAssertNotEqual(noise, try purify("noise:0.03", black, seed: 2))
    let salted = try purify("salt:0.1", black)
    let area = 64 * 64
    let (white, pepper) = (salted.prefix(area).filter { $0 == 1 }.count, salted.prefix(area).filter { $0 == -1 }.count)
    XCTAssertEqual(Double(white) / Double(area), 0.05, accuracy: 0.01)
    XCTAssertEqual(Double(pepper) / Double(area), 0.05, accuracy: 0.01)
    // All channels of a pixel alike.
    XCTAssertEqual(Array(salted[0..<area]), Array(salted[2 * area..<3 * area]))
  }

  /// What other pictures have in common goes: a universal perturbation does, one of each picture's own stays. The mean sees
  /// nothing of one that is added to some pictures and subtracted from others; the principal component does.
  func testWhatPicturesHaveInCommon() throws {
    let size = 32
    let smooth = try noise([9, 3, 4, 4]).resized(height: size, width: size) * 0.5
    let universal = try (noise([1, 3, size, size], seed: 6).sign() * 0.05).broadcast(to: smooth.shape)
    let own = try noise([9, 3, size, size], seed: 7).sign() * 0.05
    let signs = try Tensor([1, -1, 1, 1, -1, 1, -1, -1, 1], shape: [9, 1, 1, 1], device: device)
    func left(_ perturbation: Tensor, _ attack: String) throws -> Double {
      let protected = try smooth + perturbation
      let purified = try purify(attack, protected.slice(0..<1), collection: protected.slice(1..<9))
      let change = zip(purified, try smooth.slice(0..<1).values()).map { Double($0 - $1) }
      return (change.reduce(0) { $0 + $1 * $1 } / Double(change.count)).squareRoot()
    }
    for attack in ["average:8", "component:8"] {
      XCTAssertLessThan(try left(universal, attack), 0.3 * 0.05, attack)
      XCTAssertGreaterThan(try left(own, attack), 0.9 * 0.05, attack)
    }
    XCTAssertGreaterThan(try left(universal * signs, "average:8"), 0.9 * 0.05)
    XCTAssertLessThan(try left(universal * signs, "component:8"), 0.3 * 0.05)
    // Nobody else's pictures at hand: nothing is done.
    let one = try noise([1, 3, 8, 8])
    for attack in ["average:3", "component:3"] { XCTAssertEqual(try purify(attack, one), try one.values(), attack) }
  }

  func testPlaces() throws {
    let image = try Image.images(from: noise([1, 3, 20, 20]))[0]
    var random = RandomStream(seed: 1)
    let attack = try Purification(PurificationRecipe("blur:1@photo+resize:0.5"), denoiser: nowhere, on: device)
    let stored = try attack(image, random: &random, on: device)
    let alone = try Purification(PurificationRecipe("blur:1@photo"), denoiser: nowhere, on: device)
    XCTAssertEqual(stored.bytes, try alone(image, random: &random, on: device).bytes)
    XCTAssertNotEqual(stored.bytes, image.bytes)
    let seen = try attack(image.tensor(on: device), at: .network, random: &random).values()
    XCTAssertEqual(seen, try purify("resize:0.5", image.tensor(on: device)))
  }

  /// A fresh denoiser changes nothing; a trained one takes off what it was trained on. Sizes that cannot be halved twice too.
  func testDenoiser() throws {
    let folder = try TemporaryFolder()
    let url = folder.url.appendingPathComponent("denoiser.safetensors")
    func picture(_ n: Int, _ amount: Int) -> Image {
      let bytes = (0..<32 * 32 * 3).map { i -> UInt8 in
        let (x, y) = (i / 3 % 32, i / 96)
        return UInt8(60 + 3 * x + n * 5 + ((x + y) % 2 == 0 ? amount : 0))
      }
      return Image(width: 32, height: 32, channels: 3, bytes: bytes)
    }
    var recipe = try TrainingRecipe(defaultsOf: "denoiser")
    (recipe.imageSize, recipe.width, recipe.batch, recipe.steps, recipe.decaySteps) = (32, 8, 4, 60, 30)
    recipe.learningRate = 3e-3
    func faces(_ amount: Int) -> FaceSet {
      FaceSet(images: (0..<6).map { picture($0, amount) }, attributes: [], labels: [[Float]](repeating: [], count: 6))
    }
    let trainer = try Trainer(recipe, faces: faces(16), originals: faces(0), device: device)
    try trainer.writeProduct(to: url)
    let image = try noise([1, 3, 13, 18]).scaled(by: 0.5)
    XCTAssertEqual(try purify("denoise", image, denoiser: url), try image.values())
    for _ in 0..<60 { _ = try trainer.trainStep(reporting: false) }
    try trainer.writeProduct(to: url)
    let (spoilt, plain) = (try picture(9, 16).tensor(on: device), try picture(9, 0).tensor(on: device).values())
    let before = relativeError(try spoilt.values(), plain)
    XCTAssertLessThan(relativeError(try purify("denoise", spoilt, denoiser: url), plain), 0.5 * before)
    XCTAssertEqual(try purify("denoise:\(url.path)", spoilt), try purify("denoise", spoilt, denoiser: url))
    XCTAssertThrowsError(try purify("denoise", spoilt)) { XCTAssertTrue("\($0)".contains("/nowhere"), "\($0)") }
  }

  /// A classifier learns what a label stands for, and says what it was made for when it is read again.
  func testClassifier() throws {
    let folder = try TemporaryFolder()
    let images = (0..<16).map { n in
      Image(
        width: 32, height: 32, channels: 3,
        bytes: (0..<3072).map { i in
          let (x, y) = (i / 3 % 32, i / 96)
          return UInt8((n % 2 == 0 ? x : y) * 6 + n * 2)
        })
    }
    let faces = FaceSet(images: images, attributes: ["sideways"], labels: (0..<16).map { [Float(($0 + 1) % 2)] })
    var recipe = try TrainingRecipe(defaultsOf: "classifier")
    (recipe.imageSize, recipe.width, recipe.blocks, recipe.batch) = (32, 8, 2, 8)
    (recipe.steps, recipe.decaySteps, recipe.attributes) = (60, 30, ["sideways"])
    let trainer = try Trainer(recipe, faces: faces, device: device)
    for _ in 0..<60 { _ = try trainer.trainStep(reporting: false) }
    let url = folder.url.appendingPathComponent("classifier.safetensors")
    try trainer.writeProduct(to: url)
    let classifier = try loadClassifier(url, on: device)
    XCTAssertEqual(classifier.attributes, ["sideways"])
    XCTAssertEqual(try attributeAccuracies(classifier, on: faces, device: device), [1])
    XCTAssertThrowsError(try loadClassifier(projectURL("weights/stargan.safetensors"), on: device)) {
      XCTAssertTrue("\($0)".contains("is no classifier"), "\($0)")
    }
  }
}
