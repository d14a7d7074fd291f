import Foundation
import Kernels
import Networks
import TestSupport
import XCTest

/// Checkpoints that were made to break their reader: each is refused by a reason, or read in bounded time and memory.
final class HostileCheckpointTests: XCTestCase {
  private let host = CPUDevice()

  private func read(_ data: Data) throws -> [String: Tensor] {
    try TorchCheckpoint(data, path: "bad.pth").tensors(on: host)
  }

  private func requireRefusal(_ data: Data, _ message: String, line: UInt = #line) {
    XCTAssertThrowsError(try read(data), line: line) {
      XCTAssertTrue($0 is FileError && "\($0)".contains("bad.pth") && "\($0)".contains(message), "\($0)", line: line)
    }
  }

  private func checkpoint(_ body: (inout PickleWriter) -> Void) -> Data {
    var pickle = PickleWriter()
    body(&pickle)
    pickle.emit(".")
    return torchZip(pickle, storages: ["0": [UInt8](repeating: 0, count: 16)])
  }

  private func tensor(offset: Int = 0, _ shape: [Int], _ strides: [Int]) -> Data {
    checkpoint {
      $0.dictionary {
        $0.string("w")
        $0.tensor(storage: "0", count: 4, offset: offset, shape: shape, strides: strides)
      }
    }
  }

  func testSizesThatOverflow() throws {
    XCTAssertEqual(try read(tensor([2, 2], [2, 1]))["w"]?.shape, [2, 2])
    for (shape, strides) in [
      ([Int.max], [1]), ([1 << 32, 1 << 32], [1, 1]), ([Int.max, Int.max], [0, 0]), ([2, Int.max], [Int.max, 1]),
    ] {
      requireRefusal(tensor(shape, strides), "w has the impossible shape")
    }
    requireRefusal(tensor(offset: Int.max, [2], [1]), "w has the impossible shape")
    requireRefusal(tensor(offset: Int.max, [1], [1]), "the storage of w is too short")
    requireRefusal(tensor([2], [Int.max]), "the storage of w is too short")
    requireRefusal(tensor([1 << 21], [0]), "the storage of w is too short")
    requireRefusal(tensor([2, 2], [2]), "a tensor's shape is malformed")
    requireRefusal(tensor([Int](repeating: 1, count: 65), [Int](repeating: 1, count: 65)), "too many axes")
    // A stride that nothing steps by may be anything.
    for offset in [0, 1] {
      XCTAssertEqual(try read(tensor(offset: offset, [1, 3, 1], [.max, 1, .max]))["w"]?.values(), [0, 0, 0])
    }
    // Nothing is in it, whatever the other extents.
    XCTAssertEqual(try read(tensor([0, Int.max], [1, 1])).count, 0)
  }

  /// Containers in containers a hundred thousand deep are no deeper in memory.
  func testDeepNesting() throws {
    for (open, close) in [("(", "t"), ("(", "l"), ("](", "e")] {
      let data = checkpoint { pickle in
        for _ in 0..<100_000 { pickle.emit(open) }
        for _ in 0..<100_000 { pickle.emit(close) }
      }
      requireRefusal(data, "holds no tensor by name")
    }
    let dictionaries = checkpoint { pickle in
      for _ in 0..<100_000 {
        pickle.emit("}")
        pickle.string("a")
      }
      pickle.emit("N")
      for _ in 0..<100_000 { pickle.emit("s") }
    }
    requireRefusal(dictionaries, "nests dictionaries too deep")
  }

  func testContainersThatHoldThemselves() {
    // A memoised dictionary set as its own value, and a list appended to itself.
    requireRefusal(
      checkpoint {
        $0.emit("}q\u{1}")
        $0.string("me")
        $0.emit("h\u{1}s")
      }, "nests dictionaries too deep, or one in itself")
    requireRefusal(checkpoint { $0.emit("]q\u{1}h\u{1}a") }, "holds no tensor by name")
  }

  /// "Billion laughs": each level holds ten references to the one before.
  func testReferencesThatUnfold() {
    for kind in ["list", "dictionary"] {
      let data = checkpoint { pickle in
        pickle.emit("Nq\u{0}")
        for level in 0..<40 {
          pickle.emit(kind == "list" ? "](" : "}(")
          for reference in 0..<10 {
            if kind == "dictionary" { pickle.string("\(reference)") }
            pickle.emit(UInt8(ascii: "h"), UInt8(level))
          }
          pickle.emit(kind == "list" ? "e" : "u")
          pickle.emit(UInt8(ascii: "q"), UInt8(level + 1))
        }
      }
      requireRefusal(data, kind == "list" ? "holds no tensor by name" : "nests dictionaries too deep")
    }
  }

  /// One list copied into a dictionary as often as the pickle asks.
  func testCopiesThatMultiply() {
    requireRefusal(
      checkpoint { pickle in
        pickle.emit("](")
        for _ in 0..<5000 { pickle.emit("K\u{1}K\u{2}\u{86}") }
        pickle.emit("eq\u{1}0")
        for _ in 0..<5000 { pickle.emit("ccollections\nOrderedDict\nh\u{1}\u{85}R0") }
        pickle.emit("N")
      }, "copies the same list too often")
  }

  /// Thousands of tensors on one storage would take thousands of times the file.
  func testSharedStorage() throws {
    func shared(_ count: Int) -> Data {
      var pickle = PickleWriter()
      pickle.dictionary {
        for i in 0..<count {
          $0.string("w\(i)")
          $0.tensor(storage: "0", count: 1 << 16, offset: 0, shape: [1 << 16], strides: [1])
        }
      }
      pickle.emit(".")
      return torchZip(pickle, storages: ["0": [UInt8](repeating: 0, count: 4 << 16)])
    }
    XCTAssertEqual(try read(shared(3)).count, 3)
    let before = peakResidentBytes()
    requireRefusal(shared(3000), "share too much")
    XCTAssertLessThan(peakResidentBytes() - before, 256 << 20)
  }

  func testTheLastOfAKeyCounts() throws {
    var pickle = PickleWriter()
    pickle.dictionary {
      for (key, offset) in [("w", 0), ("module.w", 1), ("w", 2), ("_orig_mod.v", 3)] {
        $0.string(key)
        $0.tensor(storage: "0", count: 4, offset: offset, shape: [1], strides: [1])
      }
    }
    pickle.emit(".")
    let values: [Float] = [10, 11, 12, 13]
    let found = try read(torchZip(pickle, storages: ["0": values.withUnsafeBytes { Array($0) }]))
    XCTAssertEqual(found.keys.sorted(), ["v", "w"])
    XCTAssertEqual(try found["w"]?.values(), [11])
    XCTAssertEqual(try found["v"]?.values(), [13])
  }

  func testOtherFiles() {
    requireRefusal(Data("version https://git-lfs.github.com/spec/v1\noid sha256:ab\n".utf8), "a pointer of Git LFS")
    requireRefusal(Data("<!DOCTYPE html>\n<html></html>".utf8), "a web page")
    requireRefusal(torchZip(PickleWriter(), extra: [("constants.pkl", [])]), "a TorchScript program")
    requireRefusal(torchZip(PickleWriter(), extra: [("byteorder", Array("big".utf8))]), "big-endian")
    requireRefusal(storedZip([("a/data.pkl", []), ("a/data.pkl", [])]), "two entries named a/data.pkl")
    requireRefusal(storedZip([("b", [])]), "without PyTorch's data.pkl")
  }

  func testBrainFloats() throws {
    var pickle = PickleWriter()
    pickle.dictionary {
      $0.string("w")
      $0.emit("ctorch._utils\n_rebuild_tensor_v2\n((")
      $0.string("storage")
      $0.emit("ctorch\nBFloat16Storage\n")
      $0.string("0")
      $0.string("cpu")
      $0.emit("K\u{2}tQK\u{0}K\u{2}\u{85}K\u{1}\u{85}")
      $0.emit(0x89, UInt8(ascii: "N"), UInt8(ascii: "t"), UInt8(ascii: "R"))
    }
    pickle.emit(".")
    let found = try read(torchZip(pickle, storages: ["0": [0xc0, 0x3f, 0x00, 0xc0]]))
    XCTAssertEqual(try found["w"]?.values(), [1.5, -2])
  }

  func testSpecialFiles() throws {
    let folder = try TemporaryFolder()
    let pipe = folder.url.appendingPathComponent("pipe.pth")
    XCTAssertEqual(mkfifo(pipe.path, 0o600), 0)
    for (url, message) in [
      (pipe, "is not a regular file"), (URL(fileURLWithPath: "/dev/zero"), "is not a regular file"),
      (folder.url, "Is a directory"),
    ] {
      for read in [
        { _ = try TorchCheckpoint(contentsOf: url) }, { _ = try Safetensors(contentsOf: url) },
        { [host] in _ = try StateDictionary.read(url, on: host) },
      ] {
        XCTAssertThrowsError(try read()) { XCTAssertTrue("\($0)".contains(message), "\($0)") }
      }
    }
  }
}
