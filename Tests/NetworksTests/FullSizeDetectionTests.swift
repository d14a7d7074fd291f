import Kernels
import Networks
import Pictures
import TestSupport
import XCTest

/// Faces in photos that are much larger than they.
final class FullSizeDetectionTests: XCTestCase {
  /// No face is missed for the shrinking, each is found once and where it is; shrunk as other programs do it, the small ones are
  /// lost.
  func testSmallFacesInLargePhotos() throws {
    let device = try selectDevice().device
    let (small, large) = (PastedHead(x: 2011, y: 1717, width: 95), PastedHead(x: 300, y: 200, width: 840))
    let row = (0..<5).map { PastedHead(x: 1300 + 330 * $0, y: 60, width: 200) }
    for (detector, heads) in [
      ("retinaface", [small, large] + row), ("centerface", row), ("blazeface-short", [large] + row),
      ("blazeface-full", row),
    ] {
      let photo = try photo(width: 3000, height: 2000, heads: heads)
      let network = try loadDetector(detector, from: projectURL("models"), on: device)
      let found = try network.detectAll(in: photo, on: device)
      for head in heads {
        let same = found.filter { $0.box.iou(head.face) > 0.5 }
        XCTAssertEqual(same.count, 1, "\(detector): \(head) among \(found.map(\.box))")
        XCTAssertEqual(found.filter { $0.box.isOfSameFace(as: head.face) }.count, 1, "\(detector): \(head)")
      }
      guard detector == "retinaface" else { continue }
      XCTAssertEqual(found.count, heads.count)
      let shrunk = try network.detectAll(in: photo, longestSide: 640, on: device).map(\.box)
      XCTAssertFalse(shrunk.contains { $0.iou(small.face) > 0.3 })
      let common = try network.detect(photo, longestSide: 640, on: device).map(\.box)
      XCTAssertEqual(shrunk.count, common.count)
    }
  }

  /// A panorama, of which one size in all would leave nothing.
  func testPanorama() throws {
    let device = try selectDevice().device
    let heads = (0..<4).map { PastedHead(x: 700 + 1500 * $0, y: 260, width: 210) }
    let photo = try photo(width: 6400, height: 800, heads: heads)
    let network = try loadDetector("retinaface", from: projectURL("models"), on: device)
    let found = try network.detectAll(in: photo, on: device).map(\.box)
    XCTAssertEqual(found.count, heads.count)
    for head in heads { XCTAssertTrue(found.contains { $0.iou(head.face) > 0.5 }, "\(head)") }
  }

  /// Tiles cover each level, and whatever is no larger than they overlap lies whole in one of them.
  func testTilesOverlap() {
    let tiling = DetectorTiling(side: 256, overlap: 96, batch: 1)
    for (height, width) in [(100, 200), (256, 257), (300, 5000), (1999, 1283), (16, 20000)] {
      let pyramid = PhotoPyramid(height: height, width: width, tiling: tiling)
      XCTAssertEqual([pyramid.levels[0].height, pyramid.levels[0].width], [height, width])
      for level in pyramid.levels {
        for x in stride(from: 0, to: max(1, level.width - 96), by: 5) {
          let y = (x * 7) % max(1, level.height - 96)
          let box = Box(
            x0: Float(x), y0: Float(y), x1: Float(min(x + 96, level.width)), y1: Float(min(y + 96, level.height)))
          XCTAssertTrue(level.tiles.contains { $0.intersection(box) == box.area }, "\(box) in \(level)")
        }
        for tile in level.tiles where level.tiles.count > 1 {
          XCTAssertLessThanOrEqual(max(tile.width, tile.height), 256 + 31)
          XCTAssertEqual(tile.x0.truncatingRemainder(dividingBy: 32), 0)
        }
      }
      XCTAssertEqual(pyramid.levels.last!.tiles.count, 1)
    }
  }

  /// A double goes, be it a half of the face; a small face in a large one stays.
  func testDistinctFaces() {
    func face(_ x0: Float, _ y0: Float, _ side: Float, _ score: Float) -> Detection {
      Detection(box: Box(x0: x0, y0: y0, x1: x0 + side, y1: y0 + side), score: score, landmarks: [])
    }
    var half = face(0, 0, 100, 0.8)
    half.box.x1 = 50
    let found = distinctFaces([half, face(0, 0, 100, 0.9), face(10, 5, 100, 0.95), face(30, 30, 20, 0.99)])
    XCTAssertEqual(found, [face(30, 30, 20, 0.99), face(10, 5, 100, 0.95)])
  }
}
