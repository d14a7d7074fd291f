import Foundation
import Kernels
import TestSupport
import XCTest

/// What is kept between runs comes back whole or not at all.
final class ProgramCacheTests: FolderTestCase {
  func testDamagedProgramsAreNotLoaded() throws {
    let cache = ProgramCache(directory: folder)
    let file = folder.appendingPathComponent("deeper/program.clbin")
    let binary = Data((0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 37) })
    XCTAssertNil(cache.load(file), "there is none yet")
    cache.store(binary, to: file)
    XCTAssertEqual(cache.load(file), binary)

    let whole = try Data(contentsOf: file)
    for length in [0, 10, 32, 33, whole.count - 1] {
      try whole.prefix(length).write(to: file)
      XCTAssertNil(cache.load(file), "cut to \(length) bytes")
    }
    for place in [0, 31, 32, whole.count - 1] {
      var damaged = whole
      damaged[place] ^= 1
      try damaged.write(to: file)
      XCTAssertNil(cache.load(file), "byte \(place) changed")
    }
    cache.store(binary, to: file)
    XCTAssertEqual(cache.load(file), binary, "built anew and kept")
  }

  func testFolderThatCannotBeWrittenIsNoError() throws {
    let blocker = folder.appendingPathComponent("file")
    try Data([1]).write(to: blocker)
    let cache = ProgramCache(directory: blocker)
    let file = blocker.appendingPathComponent("program.clbin")
    cache.store(Data([1, 2, 3]), to: file)
    XCTAssertNil(cache.load(file))
  }
}
