import Kernels
import XCTest

/// How the matrix products of GPUs are planned.
final class TiledProductTests: XCTestCase {
  /// A product has the tile that suits it and as many parts of its depth as fill the device, each worth its sum.
  func testTilesAndSplitsOfProducts() {
    func plan(_ rows: Int, _ columns: Int, _ depth: Int, batch: Int = 1, items: Int = 256) -> TiledProduct {
      TiledProduct(
        rows: rows, columns: columns, depth: depth, batch: batch, items: items, computeUnits: 132, wantedGroups: 264)
    }
    XCTAssertEqual(plan(3, 65536, 3136).tile, .thin)
    XCTAssertEqual(plan(3, 65536, 3136).splits, 1)
    // 144 large tiles would be two rounds of 132, the second nearly empty; 576 small ones are five rounds of a quarter of the work.
    XCTAssertEqual(plan(256, 256, 256, batch: 36).tile, .small)
    XCTAssertEqual(plan(256, 4096, 256, batch: 36).tile, .large)
    XCTAssertEqual(plan(256, 220, 256, batch: 33).tile, .large)  // one round
    XCTAssertEqual(plan(256, 256, 256, batch: 36, items: 64).tile, .small)
    let deep = plan(512, 64, 4608)
    XCTAssertEqual(deep.tile, .small)
    XCTAssertEqual(deep.splits, 32)  // 8 work-groups: 33 parts wanted, of a multiple of 16
    XCTAssertEqual(deep.depthRun, 144)
    XCTAssertEqual(plan(64, 64, 100).splits, 1)
    for p in [deep, plan(100, 1000, 777), plan(20, 20, 5000)] {
      XCTAssertTrue((p.splits - 1) * p.depthRun < p.depth && p.splits * p.depthRun >= p.depth)
      XCTAssertEqual(p.depthRun % 16, 0)
    }
  }
}
