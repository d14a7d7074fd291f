import Foundation
import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// Protection of whole photos: every face, as it is saved.
final class ProtectionTests: XCTestCase {
  private func detector(_ name: String, on device: any Device) throws -> any FaceDetector {
    try loadDetector(name, from: projectURL("models"), on: device)
  }

  private func protector(
    _ settings: ProtectionSettings, _ detectors: [any FaceDetector], on device: any Device
  ) throws -> Protector {
    let (universal, _, _) = try loadPerturbation(projectURL("weights/perturbation.safetensors"), on: device)
    let refiner =
      settings.refineSteps > 0 ? try Refiner(generators: [], detectors: detectors, device: device) : nil
    return try Protector(
      perturbation: universal, settings: settings, detectors: detectors, refiner: refiner, device: device)
  }

  /// A budget that is none is refused: nothing can be clamped to it.
  func testBudgetsThatAreNone() throws {
    for epsilon in [-0.05, 0, 1.5, .nan] as [Float] {
      var settings = ProtectionSettings()
      (settings.region, settings.epsilon) = (.image, epsilon)
      XCTAssertThrowsError(try protector(settings, [], on: CPUDevice())) {
        XCTAssertTrue("\($0)".contains("the budget is \(epsilon)"), "\($0)")
      }
    }
  }

  /// An encoding that saves pictures of a size as JPEG files of a quality do, and counts how often.
  private func recompression(_ quality: Int, like image: Image, count: Counter) throws -> PictureEncoding {
    PictureEncoding(
      view: try PurificationRecipe("jpeg444:\(quality)@photo"),
      encode: {
        count.value += 1
        return Data(try jpegRoundTrip($0, quality: quality).bytes)
      },
      decode: { Image(width: image.width, height: image.height, channels: image.channels, bytes: [UInt8]($0)) })
  }

  private final class Counter { var value = 0 }

  /// Small faces in a large photo: each is hidden at every size at which a detector looks at the photo, in the file; the rest of the
  /// photo is left alone.
  func testFacesAreHiddenAsSaved() throws {
    let device = try selectDevice().device
    let heads = [PastedHead(x: 200, y: 150, width: 230), PastedHead(x: 2300, y: 500, width: 120)]
    let image = try photo(width: 2700, height: 900, heads: heads)
    let network = try detector("retinaface", on: device)
    var settings = ProtectionSettings()
    settings.refineSteps = 60
    let count = Counter()
    var notes: [ProtectionProgress] = []
    let encoding = try recompression(90, like: image, count: count)
    let result = try protector(settings, [network], on: device).protect(image, encoding: encoding) { notes.append($0) }
    XCTAssertEqual(result.faceCount, 2)
    XCTAssertEqual(result.stillFound, [])
    let saved = try encoding.decode(XCTUnwrap(result.encoded))
    let seen = try network.detectAll(in: saved, on: device).map(\.box)
    for head in heads { XCTAssertFalse(seen.contains { $0.isOfSameFace(as: head.face) }, "\(head) in \(seen)") }
    XCTAssertLessThanOrEqual(result.image.largestDifference(from: image), settings.epsilon + 1e-6)
    XCTAssertEqual(
      result.image.cropped(x: 700, y: 0, width: 1300, height: 900).bytes,
      image.cropped(x: 700, y: 0, width: 1300, height: 900).bytes)
    XCTAssertLessThanOrEqual(count.value, 3)
    XCTAssertEqual(Set(notes.filter { $0.round == 0 }.map(\.face)), [1, 2])
    XCTAssertTrue(notes.allSatisfy { $0.steps == ($0.round == 0 ? 60 : 24) && (0...1).contains($0.fraction) })
    XCTAssertTrue(notes.contains { $0.step == 24 })
  }

  /// What is judged is the file, of faces and of whole pictures: where saving undoes the protection, every face is still found, after a
  /// bounded number of rounds; a face that only the file has is none of the photo's.
  func testWhatIsSavedIsJudged() throws {
    let device = try selectDevice().device
    let (here, there) = (PastedHead(x: 100, y: 100, width: 200), PastedHead(x: 500, y: 100, width: 200))
    let image = try photo(width: 800, height: 480, heads: [here])
    let network = try detector("retinaface", on: device)
    var settings = ProtectionSettings()
    settings.refineSteps = 2
    var encodings = 0
    func result(savedAs picture: Image) throws -> ProtectionResult {
      encodings = 0
      return try protector(settings, [network], on: device).protect(
        image,
        encoding: PictureEncoding(
          view: nil,
          encode: { _ in
            encodings += 1
            return Data()
          }, decode: { _ in picture }))
    }
    let other = try photo(width: 800, height: 480, heads: [there])
    for region in [ProtectedRegion.faces, .image] {
      settings.region = region
      let undone = try result(savedAs: image)
      XCTAssertEqual(undone.faceCount, 1)
      XCTAssertEqual(undone.stillFound?.count, 1)
      XCTAssertGreaterThan(try XCTUnwrap(undone.stillFound?.first).iou(here.face), 0.5)
      XCTAssertEqual(encodings, 3)
      XCTAssertEqual(try result(savedAs: other).stillFound, [])
      XCTAssertEqual(encodings, 1)
    }
  }

  /// A whole picture whose face is still found is refined again, until it is not.
  func testWholePicturesAreRefinedAgain() throws {
    let device = try selectDevice().device
    let head = PastedHead(x: 20, y: 10, width: 160)
    let image = try photo(width: 200, height: 240, heads: [head])
    let network = try detector("retinaface", on: device)
    var settings = ProtectionSettings()
    (settings.region, settings.refineSteps) = (.image, 12)
    var rounds: Set<Int> = []
    let result = try protector(settings, [network], on: device).protect(image) { rounds.insert($0.round) }
    XCTAssertGreaterThan(rounds.count, 1)
    XCTAssertEqual(result.stillFound, [])
    let seen = try network.detectAll(in: result.image, on: device).map(\.box)
    XCTAssertFalse(seen.contains { $0.isOfSameFace(as: head.face) }, "\(seen)")
    XCTAssertLessThanOrEqual(result.image.largestDifference(from: image), settings.epsilon + 1e-6)
  }

  /// A face that any of the detectors finds is protected, and one that is given where none finds anything.
  func testFacesFoundAndGiven() throws {
    let device = try selectDevice().device
    let image = try photo(width: 700, height: 500, heads: [PastedHead(x: 50, y: 50, width: 200)])
    var settings = ProtectionSettings()
    settings.faces = [Box(x0: 500, y0: 300, x1: 560, y1: 380), Box(x0: 900, y0: 0, x1: 950, y1: 50)]
    let networks = try ["dlib-hog", "retinaface"].map { try detector($0, on: device) }
    let result = try protector(settings, networks, on: device).protect(image)
    XCTAssertEqual(result.faceCount, 2, "\(result.regions)")
    XCTAssertNil(result.stillFound)
    let square = try XCTUnwrap(result.regions.last)
    XCTAssertEqual([square.x0, square.y0, square.width, square.height], [470, 280, 120, 120])
    func change(_ x: Int, _ y: Int) -> Float {
      result.image.cropped(x: x, y: y, width: 20, height: 20)
        .largestDifference(from: image.cropped(x: x, y: y, width: 20, height: 20))
    }
    XCTAssertGreaterThan(change(520, 330), 0.02)
    XCTAssertGreaterThan(change(140, 150), 0.02)
    XCTAssertEqual(change(400, 400), 0)
    // A face that is found as well is one face.
    settings.faces = [PastedHead(x: 50, y: 50, width: 200).face]
    XCTAssertEqual(try protector(settings, networks, on: device).protect(image).faceCount, 1)
  }

  /// Squares that overlap share the budget; what is grey stays grey, however it is stored.
  func testOverlapsAndGrey() throws {
    let device = try selectDevice().device
    let colours = try photo(width: 300, height: 260, heads: [PastedHead(x: 20, y: 20, width: 120)])
    let grey = Image(
      width: 300, height: 260, channels: 3,
      bytes: (0..<300 * 260).flatMap { [UInt8](repeating: colours.bytes[3 * $0], count: 3) })
    var settings = ProtectionSettings()
    settings.faces = (0..<3).map { Box(x0: 40 + 60 * Float($0), y0: 40, x1: 140 + 60 * Float($0), y1: 160) }
    let network = try detector("retinaface", on: device)
    for image in [colours, grey] {
      let made = try protector(settings, [network], on: device).protect(image).image
      XCTAssertLessThanOrEqual(made.largestDifference(from: image), settings.epsilon)
      XCTAssertGreaterThan(made.largestDifference(from: image), 0.02)
    }
    let made = try protector(settings, [network], on: device).protect(grey).image.bytes
    for pixel in stride(from: 0, to: made.count, by: 3)
    where made[pixel] != made[pixel + 1] || made[pixel] != made[pixel + 2] {
      return XCTFail("pixel \(pixel / 3) is not grey")
    }
    XCTAssertNotEqual(made, grey.bytes)
  }

  /// A face that is larger than what is worked on changes all over, as smoothly as the perturbation at its size, and nowhere else.
  func testLargeFaces() throws {
    let device = try selectDevice().device
    let image = Image(width: 1900, height: 1600, channels: 3, bytes: [UInt8](repeating: 128, count: 1900 * 1600 * 3))
    var settings = ProtectionSettings()
    settings.faces = [Box(x0: 400, y0: 300, x1: 1200, y1: 1300)]
    let network = try detector("retinaface", on: device)
    let result = try protector(settings, [network], on: device).protect(image)
    XCTAssertEqual([result.regions[0].x0, result.regions[0].width], [50, 1500])
    let (universal, _, _) = try loadPerturbation(projectURL("weights/perturbation.safetensors"), on: device)
    let expected = try universal.resized(height: 1500, width: 1500).values()
    var (product, a, b) = (Float(0), Float(0), Float(0))
    for y in stride(from: 300, to: 1200, by: 7) {
      for x in stride(from: 300, to: 1200, by: 7) {
        let change = Float(result.image.bytes[3 * ((y + 50) * 1900 + x + 50)]) - 128
        let wanted = expected[y * 1500 + x]
        (product, a, b) = (product + change * wanted, a + change * change, b + wanted * wanted)
      }
    }
    XCTAssertGreaterThan(product / (a * b).squareRoot(), 0.8)
    XCTAssertEqual(
      result.image.cropped(x: 1560, y: 0, width: 340, height: 1600).bytes,
      image.cropped(x: 1560, y: 0, width: 340, height: 1600).bytes)
  }
}
