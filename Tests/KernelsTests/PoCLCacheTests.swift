import Foundation
import Kernels
import TestSupport
import XCTest

/// The folder in which PoCL keeps compiled kernels is looked at before PoCL is.
final class PoCLCacheTests: FolderTestCase {
  func testFoldersThatCannotBeWritten() throws {
    XCTAssertNil(PoCLCache(folder: folder).complaint)
    let deeper = folder.appendingPathComponent("a/b")
    XCTAssertNil(PoCLCache(folder: deeper).complaint)
    XCTAssertFalse(FileManager.default.fileExists(atPath: deeper.path), "looking makes nothing")
    let file = folder.appendingPathComponent("file")
    try Data().write(to: file)
    for place in [file, file.appendingPathComponent("kcache"), URL(fileURLWithPath: "/proc/kcache")] {
      let complaint = PoCLCache(folder: place).complaint
      XCTAssertTrue(complaint?.hasPrefix("cannot be written (") ?? false, "\(place.path): \(complaint ?? "nothing")")
    }
  }

  func testDamagedFiles() throws {
    // A header of ELF that says where its section headers are, and those.
    var object = Data([0x7f, 0x45, 0x4c, 0x46, 2, 1] + [UInt8](repeating: 0, count: 58 + 200 + 128))
    (object[40], object[41], object[58], object[60]) = (8, 1, 64, 2)
    // Two blocks of LLVM bitcode, of 3 and 1 words.
    let bitcode = Data(
      [0x42, 0x43, 0xc0, 0xde, 0x35, 0x14, 0, 0, 3, 0, 0, 0] + [UInt8](repeating: 7, count: 12)
        + [0x21, 0x0c, 0, 0, 1, 0, 0, 0, 9, 9, 9, 9])
    for (name, whole) in [("a/kernel.so", object), ("a/program.bc", bitcode)] {
      let file = folder.appendingPathComponent(name)
      try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try whole.write(to: file)
      XCTAssertNil(PoCLCache(folder: folder).complaint, name)
      for damaged in [Data(), whole.prefix(10), whole.dropLast(), Data(repeating: 0, count: whole.count)] {
        try Data(damaged).write(to: file)
        let complaint = PoCLCache(folder: folder).complaint
        XCTAssertEqual(complaint, "holds a damaged file of PoCL's (\(file.lastPathComponent))", "\(damaged.count)")
      }
      try whole.write(to: file)
    }
  }
}
