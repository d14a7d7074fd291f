import Kernels
import Networks
import Pictures
import TSDF
import TestSupport
import XCTest

/// What is said of a generator's edits.
final class GeneratorQualityTests: XCTestCase {
  /// Where an edit changes more than 0.5 over the channels the original stands, elsewhere the edit.
  func testOutsideOfTheMask() {
    let original: [Float] = [0, 0, 0, 0, 0, 0, 0, 0, 0]
    let edit: [Float] = [0.2, 0.1, -0.3, 0.2, 0.1, 0.3, 0.2, 0.1, 0]
    let (picture, changed) = GeneratorQuality.outsideMask(original: original, edit: edit)
    XCTAssertEqual(picture, [0, 0.1, 0, 0, 0.1, 0, 0, 0.1, 0])
    XCTAssertEqual(changed, 2.0 / 3, accuracy: 1e-12)
  }

  /// Against edits and a classifier's word taken one face at a time.
  func testAgainstSingleFaces() throws {
    let device = CPUDevice()
    let faces = smallFaces(18, size: 32)
    let generator = try smallGenerator(on: device)
    let classifier = try AttributeClassifier(
      width: 4, blocks: 1, attributes: ["B", "C"], imageSize: 32, seed: 5, device: device)
    let whole = Box(x0: 0, y0: 0, x1: 32, y1: 32)
    let images = try Image.images(from: faces.batch(Array(0..<faces.count), on: device))
    let photos = images.indices.map {
      JudgedPhoto(
        images[$0], name: "\($0)", faces: [whole], attributes: ["A", "B"], labels: [1, Float($0 % 2)])
    }
    let quality = try GeneratorQuality(
      of: generator, faces: photos, others: [], classifier: classifier, networks: MetricNetworks(), seed: 1,
      device: device)
    XCTAssertEqual(quality.faces, 18)
    XCTAssertEqual(quality.edits.map(\.name), ["A", "B"])
    XCTAssertNil(quality.edits[0].success, "the classifier knows no A")
    XCTAssertNil(quality.edits[1].outside, "there is no network")
    XCTAssertNil(quality.fid)
    var (success, before, changed) = (0.0, 0.0, 0.0)
    var random = RandomStream(seed: 9)
    for photo in photos {
      let labels = photo.labels(named: ["A", "B"])
      let image = try photo.image.tensor(on: device)
      let condition = try generator.condition([1], labels: [labels], random: &random, device: device)
      let edited = try generator(image, condition: condition).image.clamped(to: -1...1)
      // What is asked for is the other of what the label says.
      let wanted = labels[1] == 0
      if try (classifier(edited).values()[0] > 0) == wanted { success += 1 }
      if try (classifier(image).values()[0] > 0) == wanted { before += 1 }
      changed += GeneratorQuality.outsideMask(original: try image.values(), edit: try edited.values()).changed
    }
    let edit = quality.edits[1]
    XCTAssertEqual(try XCTUnwrap(edit.success?.mean), success / 18, accuracy: 1e-9)
    XCTAssertEqual(try XCTUnwrap(edit.before?.mean), before / 18, accuracy: 1e-9)
    XCTAssertEqual(try XCTUnwrap(edit.changed?.mean), changed / 18, accuracy: 1e-3)
    XCTAssertEqual(quality.success, quality.edits[1].success, "of faces for which there is a word")
  }
}
