import Foundation
import Kernels

/// A pickle machine for protocols 0 to 4 that knows only what a PyTorch state dictionary needs and refuses, by name,
/// any other global, and so any code. Its work and its memory grow with the pickle's length alone.
struct PickleReader {
  private let bytes: Data
  private(set) var position: Int
  private let path: String
  private var contents = PickleContents()
  private var stack: [PickleValue] = []
  /// The heights of the stack at which marks were set.
  private var marks: [Int] = []
  private var memo: [Int: PickleValue] = [:]
  /// Items that may still be copied from one container to another. What a pickle lists item by item is paid for by its own
  /// bytes; a copy is not, and could be asked for again and again.
  private var copies: Int

  private static let callables: Set = [
    "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter",
  ]

  /// Tensors have no more axes, in PyTorch either.
  private static let mostAxes = 64

  init(_ bytes: Data, at position: Int = 0, path: String) {
    (self.bytes, self.position, self.path, copies) = (bytes, position, path, bytes.count)
  }

  private func fail(_ message: String) -> FileError { FileError(path, "not a readable PyTorch checkpoint: \(message)") }

  private mutating func take(_ count: Int) throws -> Data {
    guard count >= 0, count <= bytes.count - position else { throw fail("it is truncated") }
    defer { position += count }
    return bytes[bytes.startIndex + position..<bytes.startIndex + position + count]
  }

  private mutating func unsigned(_ count: Int) throws -> Int {
    guard count <= bytes.count - position else { throw fail("it is truncated") }
    var value = 0
    for i in 0..<count { value |= Int(bytes[bytes.startIndex + position + i]) << (8 * i) }
    position += count
    return value
  }

  private mutating func line() throws -> String {
    guard let end = bytes[(bytes.startIndex + position)...].firstIndex(of: 10) else { throw fail("it is truncated") }
    let text = try take(end - bytes.startIndex - position)
    position += 1
    return String(decoding: text, as: UTF8.self)
  }

  private mutating func pop() throws -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.popLast() else { throw fail("its stack underflows") }
    return value
  }

  private mutating func popToMark() throws -> [PickleValue] {
    guard let mark = marks.popLast(), mark <= stack.count else { throw fail("a mark is missing") }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[mark...])
  }

  private mutating func top() throws -> PickleValue {
    guard stack.count > marks.last ?? 0, let value = stack.last else { throw fail("its stack underflows") }
    return value
  }

  /// A new container's number.
  private mutating func contain(_ items: [PickleValue] = []) -> Int {
    contents.containers.append(items)
    return contents.containers.count - 1
  }

  /// Reads one pickle, up to its STOP.
  mutating func read() throws -> (root: PickleValue, contents: PickleContents) {
    while true {
      let code = UInt8(try unsigned(1))
      if code == UInt8(ascii: ".") { return (try pop(), contents) }
      guard
        try readScalar(code) || readContainer(code) || readMemo(code)
          || readObject(code)
      else { throw fail(String(format: "it holds the unknown instruction 0x%02x", code)) }
    }
  }

  /// Numbers and text.
  private mutating func readScalar(_ code: UInt8) throws -> Bool {
    switch code {
    case UInt8(ascii: "N"): stack.append(.none)
    case 0x88: stack.append(.bool(true))
    case 0x89: stack.append(.bool(false))
    case UInt8(ascii: "K"): stack.append(.int(try unsigned(1)))
    case UInt8(ascii: "M"): stack.append(.int(try unsigned(2)))
    case UInt8(ascii: "J"): stack.append(.int(Int(Int32(truncatingIfNeeded: try unsigned(4)))))
    case 0x8a: stack.append(.int(try long(unsigned(1))))
    case 0x8b: stack.append(.int(try long(unsigned(4))))
    case UInt8(ascii: "I"), UInt8(ascii: "L"):
      let text = try line()
      if text == "00" || text == "01" {
        stack.append(.bool(text == "01"))
      } else {
        guard let value = Int(text.hasSuffix("L") ? String(text.dropLast()) : text) else {
          throw fail("a number is malformed")
        }
        stack.append(.int(value))
      }
    case UInt8(ascii: "G"):
      let bits = try take(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
      stack.append(.float(Double(bitPattern: bits)))
    case UInt8(ascii: "F"): stack.append(.float(Double(try line()) ?? .nan))
    case UInt8(ascii: "X"), UInt8(ascii: "T"), UInt8(ascii: "B"):
      stack.append(.string(String(decoding: try take(unsigned(4)), as: UTF8.self)))
    case 0x8c, UInt8(ascii: "U"), UInt8(ascii: "C"):
      stack.append(.string(String(decoding: try take(unsigned(1)), as: UTF8.self)))
    case UInt8(ascii: "V"): stack.append(.string(try line()))
    default: return false
    }
    return true
  }

  /// Tuples, lists, dictionaries.
  private mutating func readContainer(_ code: UInt8) throws -> Bool {
    switch code {
    case UInt8(ascii: "("): marks.append(stack.count)
    case UInt8(ascii: "]"): stack.append(.list(contain()))
    case UInt8(ascii: "}"): stack.append(.dictionary(contain()))
    case UInt8(ascii: ")"): stack.append(.tuple(0))
    case UInt8(ascii: "t"):
      let items = try popToMark()
      stack.append(.tuple(contain(items)))
    case UInt8(ascii: "l"):
      let items = try popToMark()
      stack.append(.list(contain(items)))
    case UInt8(ascii: "d"):
      let items = try popToMark()
      let number = contain()
      try set(items, in: .dictionary(number))
      stack.append(.dictionary(number))
    case 0x85, 0x86, 0x87:
      let count = Int(code) - 0x84
      guard stack.count - count >= marks.last ?? 0 else { throw fail("its stack underflows") }
      let items = Array(stack.suffix(count))
      stack.removeLast(count)
      stack.append(.tuple(contain(items)))
    case UInt8(ascii: "a"):
      let value = try pop()
      try append([value])
    case UInt8(ascii: "e"): try append(popToMark())
    case UInt8(ascii: "s"):
      let value = try pop()
      let key = try pop()
      try set([key, value], in: top())
    case UInt8(ascii: "u"):
      let values = try popToMark()
      try set(values, in: top())
    default: return false
    }
    return true
  }

  /// What is kept under a number for later, and the stack itself.
  private mutating func readMemo(_ code: UInt8) throws -> Bool {
    switch code {
    case 0x80: _ = try take(1)  // PROTO
    case 0x95: _ = try take(8)  // FRAME
    case UInt8(ascii: "q"): memo[try unsigned(1)] = stack.last
    case UInt8(ascii: "r"): memo[try unsigned(4)] = stack.last
    case UInt8(ascii: "p"): memo[Int(try line()) ?? -1] = stack.last
    case 0x94: memo[memo.count] = stack.last
    case UInt8(ascii: "h"): try recall(unsigned(1))
    case UInt8(ascii: "j"): try recall(unsigned(4))
    case UInt8(ascii: "g"): try recall(Int(line()) ?? -1)
    case UInt8(ascii: "0"): _ = try pop()
    default: return false
    }
    return true
  }

  /// Names, calls and storages.
  private mutating func readObject(_ code: UInt8) throws -> Bool {
    switch code {
    case UInt8(ascii: "c"):
      let module = try line()
      try pushGlobal(module, line())
    case 0x93:
      guard case .string(let name) = try pop(), case .string(let module) = try pop() else {
        throw fail("a name is malformed")
      }
      try pushGlobal(module, name)
    case UInt8(ascii: "Q"): try pushStorage(pop())
    case UInt8(ascii: "R"):
      let arguments = try pop()
      try call(pop(), arguments)
    case UInt8(ascii: "b"): _ = try pop()  // BUILD sets attributes such as _metadata, which nothing here needs.
    default: return false
    }
    return true
  }

  private mutating func long(_ count: Int) throws -> Int {
    let digits = try take(count)
    guard count <= 9, count < 9 || digits.last == 0 else {
      // PyTorch's magic number is ten bytes long and only its presence matters.
      return 0
    }
    var value = digits.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    if count > 0, count < 8, digits.last! & 0x80 != 0 { value -= 1 << (8 * count) }
    return value
  }

  private mutating func recall(_ index: Int) throws {
    guard let value = memo[index] else { throw fail("it refers to what is not there") }
    stack.append(value)
  }

  private mutating func append(_ values: [PickleValue]) throws {
    guard case .list(let list) = try top() else { throw fail("an append has no list") }
    contents.containers[list] += values
  }

  private mutating func set(_ values: [PickleValue], in target: PickleValue) throws {
    guard case .dictionary(let dictionary) = target, values.count % 2 == 0 else {
      throw fail("an item has no dictionary")
    }
    contents.containers[dictionary] += values
  }

  private mutating func pushGlobal(_ module: String, _ name: String) throws {
    let full = "\(module).\(name)"
    guard Self.callables.contains(full) || (module == "torch" && Self.element(of: name) != nil) else {
      throw FileError(path, "asks for \(full), which is code: refused. Only tensors and containers are read")
    }
    stack.append(.global(full))
  }

  /// What a storage class holds: `FloatStorage` floats.
  private static func element(of name: some StringProtocol) -> TorchStorage.Element? {
    name.hasSuffix("Storage") ? TorchStorage.Element(rawValue: String(name.dropLast("Storage".count))) : nil
  }

  /// ('storage', type, key, location, count[, view]).
  private mutating func pushStorage(_ identifier: PickleValue) throws {
    guard case .tuple(let number) = identifier, contents.containers[number].count >= 3,
      case .global(let type) = contents.containers[number][1],
      case .string(let key) = contents.containers[number][2],
      let element = Self.element(of: type.dropFirst("torch.".count))
    else { throw fail("a storage is malformed") }
    contents.storages.append(TorchStorage(type: element, key: key))
    stack.append(.storage(contents.storages.count - 1))
  }

  private mutating func call(_ function: PickleValue, _ arguments: PickleValue) throws {
    guard case .global(let name) = function, case .tuple(let number) = arguments else {
      throw fail("a call is malformed")
    }
    let parts = contents.containers[number]
    switch name {
    case "collections.OrderedDict":
      var items: [PickleValue] = []
      if case .list(let list)? = parts.first {
        copies -= contents.containers[list].count
        guard copies >= 0 else { throw fail("it copies the same list too often") }
        for case .tuple(let pair) in contents.containers[list] where contents.containers[pair].count == 2 {
          items += contents.containers[pair]
        }
      }
      stack.append(.dictionary(contain(items)))
    case "torch._utils._rebuild_parameter":
      guard let data = parts.first else { throw fail("a parameter is malformed") }
      stack.append(data)
    case "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor": try rebuildTensor(parts)
    default: throw fail("\(name) is called")
    }
  }

  /// (storage, offset, shape, strides, ...).
  private mutating func rebuildTensor(_ parts: [PickleValue]) throws {
    guard parts.count >= 4, case .storage(let storage) = parts[0], case .int(let offset) = parts[1],
      case .tuple(let size) = parts[2], case .tuple(let stride) = parts[3]
    else { throw fail("a tensor is malformed") }
    func numbers(_ container: Int) throws -> [Int] {
      guard contents.containers[container].count <= Self.mostAxes else { throw fail("a tensor has too many axes") }
      return try contents.containers[container].map {
        guard case .int(let value) = $0, value >= 0 else { throw fail("a tensor's shape is malformed") }
        return value
      }
    }
    let (shape, strides) = (try numbers(size), try numbers(stride))
    guard shape.count == strides.count, offset >= 0 else { throw fail("a tensor's shape is malformed") }
    contents.tensors.append(TorchTensor(storage: storage, offset: offset, shape: shape, strides: strides))
    stack.append(.tensor(contents.tensors.count - 1))
  }
}
