import Foundation
import Kernels

/// What a restricted pickle can hold: containers, scalars, and the tensors of a PyTorch checkpoint. Nothing is executed.
indirect enum PickleValue {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case string(String)
  case tuple([PickleValue])
  case list(PickleList)
  case dictionary(PickleDictionary)
  /// A name that is allowed, waiting to be called.
  case global(String)
  case storage(TorchStorage)
  case tensor(TorchTensor)
  /// A mark on the stack.
  case mark
}

/// Containers are references: a pickle may fill them after they were stored elsewhere.
final class PickleList { var items: [PickleValue] = [] }
final class PickleDictionary { var items: [(key: PickleValue, value: PickleValue)] = [] }

/// A run of numbers somewhere in a checkpoint.
struct TorchStorage {
  /// FloatStorage, HalfStorage, DoubleStorage or one of integers.
  var type: String
  var key: String
}

/// A strided view of a storage.
struct TorchTensor {
  var storage: TorchStorage
  var offset: Int
  var shape: [Int]
  var strides: [Int]
}

/// A pickle machine for protocols 0 to 4 that knows only what a PyTorch state dictionary needs and refuses, by name,
/// any other global, and so any code.
struct PickleReader {
  private let bytes: Data
  private(set) var position: Int
  private let path: String
  private var stack: [PickleValue] = []
  private var memo: [Int: PickleValue] = [:]

  private static let storages: Set = [
    "FloatStorage", "HalfStorage", "DoubleStorage", "LongStorage", "IntStorage", "ByteStorage", "BoolStorage",
  ]
  private static let callables: Set = [
    "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter",
  ]

  init(_ bytes: Data, at position: Int = 0, path: String) {
    (self.bytes, self.position, self.path) = (bytes, position, path)
  }

  private func fail(_ message: String) -> FileError { FileError(path, "not a readable PyTorch checkpoint: \(message)") }

  private mutating func take(_ count: Int) throws -> Data {
    guard count >= 0, count <= bytes.count - position else { throw fail("it is truncated") }
    defer { position += count }
    return bytes[bytes.startIndex + position..<bytes.startIndex + position + count]
  }

  private mutating func unsigned(_ count: Int) throws -> Int {
    try take(count).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
  }

  private mutating func line() throws -> String {
    guard let end = bytes[(bytes.startIndex + position)...].firstIndex(of: 10) else { throw fail("it is truncated") }
    let text = try take(end - bytes.startIndex - position)
    position += 1
    return String(decoding: text, as: UTF8.self)
  }

  private mutating func pop() throws -> PickleValue {
    guard let value = stack.popLast() else { throw fail("its stack underflows") }
    return value
  }

  private mutating func popToMark() throws -> [PickleValue] {
    guard let mark = stack.lastIndex(where: { if case .mark = $0 { return true } else { return false } }) else {
      throw fail("a mark is missing")
    }
    defer { stack.removeSubrange(mark...) }
    return Array(stack[(mark + 1)...])
  }

  /// Reads one pickle, up to its STOP.
  mutating func read() throws -> PickleValue {
    while true {
      let code = try unsigned(1)
      switch UInt8(code) {
      case 0x80: _ = try take(1)  // PROTO
      case 0x95: _ = try take(8)  // FRAME
      case UInt8(ascii: "."): return try pop()
      case UInt8(ascii: "("): stack.append(.mark)
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
      case UInt8(ascii: "X"): stack.append(.string(String(decoding: try take(unsigned(4)), as: UTF8.self)))
      case UInt8(ascii: "T"), UInt8(ascii: "B"):
        stack.append(.string(String(decoding: try take(unsigned(4)), as: UTF8.self)))
      case 0x8c, UInt8(ascii: "U"), UInt8(ascii: "C"):
        stack.append(.string(String(decoding: try take(unsigned(1)), as: UTF8.self)))
      case UInt8(ascii: "V"): stack.append(.string(try line()))
      case UInt8(ascii: "]"): stack.append(.list(PickleList()))
      case UInt8(ascii: "}"): stack.append(.dictionary(PickleDictionary()))
      case UInt8(ascii: ")"): stack.append(.tuple([]))
      case UInt8(ascii: "t"): stack.append(.tuple(try popToMark()))
      case UInt8(ascii: "l"):
        let list = PickleList()
        list.items = try popToMark()
        stack.append(.list(list))
      case UInt8(ascii: "d"):
        let values = try popToMark()
        let dictionary = PickleDictionary()
        try set(values, in: .dictionary(dictionary))
        stack.append(.dictionary(dictionary))
      case 0x85, 0x86, 0x87:
        let count = code - 0x84
        guard stack.count >= count else { throw fail("its stack underflows") }
        let items = Array(stack.suffix(count))
        stack.removeLast(count)
        stack.append(.tuple(items))
      case UInt8(ascii: "a"):
        let value = try pop()
        guard case .list(let list)? = stack.last else { throw fail("an append has no list") }
        list.items.append(value)
      case UInt8(ascii: "e"):
        let values = try popToMark()
        guard case .list(let list)? = stack.last else { throw fail("an append has no list") }
        list.items += values
      case UInt8(ascii: "s"):
        let value = try pop()
        let key = try pop()
        guard let target = stack.last else { throw fail("its stack underflows") }
        try set([key, value], in: target)
      case UInt8(ascii: "u"):
        let values = try popToMark()
        guard let target = stack.last else { throw fail("its stack underflows") }
        try set(values, in: target)
      case UInt8(ascii: "q"): memo[try unsigned(1)] = stack.last
      case UInt8(ascii: "r"): memo[try unsigned(4)] = stack.last
      case UInt8(ascii: "p"): memo[Int(try line()) ?? -1] = stack.last
      case 0x94: memo[memo.count] = stack.last
      case UInt8(ascii: "h"): try recall(unsigned(1))
      case UInt8(ascii: "j"): try recall(unsigned(4))
      case UInt8(ascii: "g"): try recall(Int(line()) ?? -1)
      case UInt8(ascii: "0"): _ = try pop()
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
      default: throw fail(String(format: "it holds the unknown instruction 0x%02x", code))
      }
    }
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

  private func set(_ values: [PickleValue], in target: PickleValue) throws {
    guard case .dictionary(let dictionary) = target, values.count % 2 == 0 else {
      throw fail("an item has no dictionary")
    }
    for i in stride(from: 0, to: values.count, by: 2) { dictionary.items.append((values[i], values[i + 1])) }
  }

  private mutating func pushGlobal(_ module: String, _ name: String) throws {
    let full = "\(module).\(name)"
    guard Self.callables.contains(full) || (module == "torch" && Self.storages.contains(name)) else {
      throw FileError(path, "asks for \(full), which is code: refused. Only tensors and containers are read")
    }
    stack.append(.global(full))
  }

  /// ('storage', type, key, location, count[, view]).
  private mutating func pushStorage(_ identifier: PickleValue) throws {
    guard case .tuple(let parts) = identifier, parts.count >= 3, case .global(let type) = parts[1],
      case .string(let key) = parts[2]
    else { throw fail("a storage is malformed") }
    stack.append(.storage(TorchStorage(type: String(type.dropFirst("torch.".count)), key: key)))
  }

  private mutating func call(_ function: PickleValue, _ arguments: PickleValue) throws {
    guard case .global(let name) = function, case .tuple(let parts) = arguments else {
      throw fail("a call is malformed")
    }
    switch name {
    case "collections.OrderedDict":
      let dictionary = PickleDictionary()
      if case .list(let list)? = parts.first {
        for case .tuple(let pair) in list.items where pair.count == 2 { dictionary.items.append((pair[0], pair[1])) }
      }
      stack.append(.dictionary(dictionary))
    case "torch._utils._rebuild_parameter":
      guard let data = parts.first else { throw fail("a parameter is malformed") }
      stack.append(data)
    default:
      guard parts.count >= 4, case .storage(let storage) = parts[0], case .int(let offset) = parts[1],
        case .tuple(let size) = parts[2], case .tuple(let stride) = parts[3]
      else { throw fail("a tensor is malformed") }
      func numbers(_ values: [PickleValue]) throws -> [Int] {
        try values.map {
          guard case .int(let value) = $0, value >= 0 else { throw fail("a tensor's shape is malformed") }
          return value
        }
      }
      let (shape, strides) = (try numbers(size), try numbers(stride))
      guard shape.count == strides.count, offset >= 0 else { throw fail("a tensor's shape is malformed") }
      stack.append(.tensor(TorchTensor(storage: storage, offset: offset, shape: shape, strides: strides)))
    }
  }
}
