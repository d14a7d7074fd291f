import Foundation
import SystemPackage

/// Tensors by name and string metadata in the safetensors format (an 8-byte header length, a JSON header, raw
/// little-endian data), mapped and read when asked for. Float32, float16, bfloat16 and float64 are read; float32 is written.
public struct Safetensors: Sendable {
  private struct Entry {
    var type: String
    var shape: Shape
    /// The elements, by the shape.
    var count: Int
    var range: Range<Int>
  }

  /// Where the tensors were read from, for errors.
  public let path: String
  /// The `__metadata__` of the header.
  public let metadata: [String: String]
  private let entries: [String: Entry]
  private let data: Data
  private let file: MappedFile?

  /// A header of 90,000 tensors. What reads JSON takes thirty times its length.
  private static let largestHeaderByteCount = 8 << 20

  /// Whether bytes look like such a file's: the length of the header, then the header, which starts with a brace.
  package static func matches(_ data: Data) -> Bool { data.dropFirst(8).first == UInt8(ascii: "{") }

  /// The names of the tensors, sorted.
  public var names: [String] { entries.keys.sorted() }

  /// Opens a file and checks its whole header.
  /// - Throws: `FileError` naming the tensor or fact at fault.
  public init(contentsOf url: URL) throws {
    let file = try MappedFile(url)
    try self.init(file, path: url.path)
  }

  /// The same of a file that is open.
  package init(_ file: MappedFile, path: String) throws { try self.init(file.data, path: path, file: file) }

  /// The same of a file's bytes; errors name its path.
  public init(_ data: Data, path: String) throws { try self.init(data, path: path, file: nil) }

  private init(_ data: Data, path: String, file: MappedFile?) throws {
    (self.data, self.path, self.file) = (data, path, file)
    func fail(_ message: String) -> FileError { FileError(path, "not a valid safetensors file: \(message)") }
    try refuseDownloadedText(data, path: path)
    guard data.count >= 8 else { throw fail("shorter than its 8-byte header length") }
    let length = data.prefix(8).withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    guard length <= UInt64(data.count - 8) else {
      throw fail("the header claims \(length) bytes, the file has \(data.count); it may be truncated")
    }
    guard length <= Self.largestHeaderByteCount else {
      throw fail("the header has \(length) bytes; at most \(Self.largestHeaderByteCount) are read")
    }
    let start = 8 + Int(length)
    guard
      let header = try? JSONSerialization.jsonObject(with: data[data.startIndex + 8..<data.startIndex + start])
        as? [String: Any]
    else { throw fail("the header is not a JSON object") }
    var entries: [String: Entry] = [:]
    for (name, value) in header where name != "__metadata__" {
      guard let fields = value as? [String: Any], let type = fields["dtype"] as? String,
        let shape = fields["shape"] as? [Int], let offsets = fields["data_offsets"] as? [Int], offsets.count == 2
      else { throw fail("the entry of \(name) is malformed") }
      let size = Self.sizes[type]
      guard let count = shape.checkedElementCount, let bytes = (shape + [size ?? 1]).checkedElementCount else {
        throw fail("\(name) has the impossible shape \(shape)")
      }
      guard offsets[0] >= 0, offsets[1] >= offsets[0], offsets[1] <= data.count - start else {
        throw fail("\(name) lies beyond the end of the file; it may be truncated")
      }
      let length = offsets[1] - offsets[0]
      guard size == nil || length == bytes else {
        throw fail("\(name) has \(length) bytes, its shape \(shape) needs \(bytes)")
      }
      entries[name] = Entry(type: type, shape: shape, count: count, range: start + offsets[0]..<start + offsets[1])
    }
    // Tensors that share their bytes could ask for any amount of memory.
    let inOrder = entries.filter { !$0.value.range.isEmpty }.sorted {
      ($0.value.range.lowerBound, $0.key) < ($1.value.range.lowerBound, $1.key)
    }
    for (one, next) in zip(inOrder, inOrder.dropFirst()) where next.value.range.lowerBound < one.value.range.upperBound
    {
      throw fail("\(one.key) and \(next.key) overlap")
    }
    metadata = header["__metadata__"] as? [String: String] ?? [:]
    self.entries = entries
  }

  private static let sizes = [
    "F32": 4, "F16": 2, "BF16": 2, "F64": 8, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1,
    "U8": 1, "BOOL": 1,
  ]

  /// The types whose tensors are read.
  private static let floats: Set = ["F32", "F16", "BF16", "F64"]

  /// The shape of a tensor, or nil when there is none of that name.
  public func shape(of name: String) -> Shape? { entries[name]?.shape }

  /// The elements of a tensor as float32.
  /// - Throws: `FileError` when it is missing or of a type other than float32, float16, bfloat16, float64.
  public func values(of name: String) throws -> [Float] {
    let entry = try entry(name)
    defer { file?.release(entry.range) }
    return bytes(of: entry).withUnsafeBytes { bytes in
      func elements<T: BitwiseCopyable>(_ float: (T) -> Float) -> [Float] {
        (0..<entry.count).map {
          float(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<T>.size, as: T.self))
        }
      }
      switch entry.type {
      case "F64": return elements { (x: Double) in Float(x) }
      case "F16": return elements { (x: UInt16) in Float(Float16(bitPattern: x)) }
      case "BF16": return elements { (x: UInt16) in Float(bfloat16: x) }
      default: return elements { (x: Float) in x }
      }
    }
  }

  /// A tensor on a device.
  /// - Throws: `FileError` as `values(of:)`, and where it has no elements; what the device throws.
  public func tensor(_ name: String, on device: any Device) throws -> Tensor {
    let entry = try entry(name)
    guard entry.count > 0 else { throw FileError(path, "\(name) is empty: its shape is \(entry.shape)") }
    guard entry.type == "F32" else { return try Tensor(values(of: name), shape: entry.shape, device: device) }
    defer { file?.release(entry.range) }
    return try bytes(of: entry).withUnsafeBytes { try Tensor(bytes: $0, shape: entry.shape, device: device) }
  }

  /// All float tensors that have elements, on a device.
  public func tensors(on device: any Device) throws -> [String: Tensor] {
    var result: [String: Tensor] = [:]
    for (name, entry) in entries where Self.floats.contains(entry.type) && entry.count > 0 {
      result[name] = try tensor(name, on: device)
    }
    return result
  }

  private func bytes(of entry: Entry) -> Data { data.dropFirst(entry.range.lowerBound).prefix(entry.range.count) }

  private func entry(_ name: String) throws -> Entry {
    guard let entry = entries[name] else {
      let some = names.prefix(4).joined(separator: ", ")
      throw FileError(path, "has no tensor named \(name) (it has \(some)\(entries.count > 4 ? ", ..." : ""))")
    }
    guard Self.floats.contains(entry.type) else {
      throw FileError(path, "\(name) is of type \(entry.type); F32, F16, BF16 and F64 are read")
    }
    return entry
  }

  /// Makes sure that a write would take the place of no file of another kind.
  /// - Throws: `FileError` naming such a file.
  package static func requireReplaceable(_ url: URL) throws {
    let path = FilePath(url.path)
    guard (try? Stat(path)) != nil else { return }
    let start = try withRegularFile(path) { file in
      try [UInt8](unsafeUninitializedCapacity: 9) { $1 = try file.read(into: UnsafeMutableRawBufferPointer($0)) }
    }
    // The length of a header, as little-endian bytes, and its brace.
    let isOne = start.count == 9 && start[4..<8].allSatisfy { $0 == 0 } && start[8] == UInt8(ascii: "{")
    guard start.isEmpty || isOne else {
      throw FileError(url.path, "is there already and no safetensors file; it is left as it is: give another output")
    }
  }

  /// Writes tensors and metadata: beside the target first, then renamed, so that no half-written file is ever seen.
  /// - Throws: `FileError` where it cannot be written, or where a file of another kind is in its place.
  public static func write(_ tensors: [String: Tensor], metadata: [String: String] = [:], to url: URL) throws {
    try requireReplaceable(url)
    var header: [String: Any] = metadata.isEmpty ? [:] : ["__metadata__": metadata]
    let tensors = tensors.sorted { $0.key < $1.key }
    var end = 0
    for (name, tensor) in tensors {
      let start = end
      end += tensor.count * MemoryLayout<Float>.size
      header[name] = ["dtype": "F32", "shape": tensor.shape, "data_offsets": [start, end]]
    }
    var json = try JSONSerialization.data(withJSONObject: header, options: [.sortedKeys, .withoutEscapingSlashes])
    while json.count % 8 != 0 { json.append(0x20) }
    var length = UInt64(json.count).littleEndian
    try writeAtomically(to: url) { file in
      try file.writeAll(Data(bytes: &length, count: 8) + json)
      // One at a time, so that no copy of them all is in memory.
      for (_, tensor) in tensors { _ = try tensor.values().withUnsafeBytes { try file.writeAll($0) } }
    }
  }
}

extension Float {
  /// The value of a bfloat16: the upper half of a float32.
  package init(bfloat16 bits: UInt16) { self.init(bitPattern: UInt32(bits) << 16) }
}
