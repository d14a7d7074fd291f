import Foundation

/// Tensors by name and string metadata in the safetensors format (an 8-byte header length, a JSON header, raw
/// little-endian data), mapped and read when asked for. Float32, float16 and float64 are read; float32 is written.
public struct Safetensors {
  private struct Entry: Equatable {
    var type: String
    var shape: Shape
    var range: Range<Int>
  }

  public let path: String
  /// The `__metadata__` of the header.
  public let metadata: [String: String]
  private let entries: [String: Entry]
  private let data: Data
  private let file: MappedFile?

  /// The names of the tensors, sorted.
  public var names: [String] { entries.keys.sorted() }

  /// Opens a file and checks its whole header.
  /// - Throws: `FileError` naming the tensor or fact at fault.
  public init(contentsOf url: URL) throws {
    let file = try MappedFile(url)
    try self.init(file.data, path: url.path, file: file)
  }

  /// The same of a file's bytes.
  /// - Parameter path: for errors.
  public init(_ data: Data, path: String) throws { try self.init(data, path: path, file: nil) }

  private init(_ data: Data, path: String, file: MappedFile?) throws {
    (self.data, self.path, self.file) = (data, path, file)
    func fail(_ message: String) -> FileError { FileError(path, "not a valid safetensors file: \(message)") }
    guard data.count >= 8 else { throw fail("shorter than its 8-byte header length") }
    let length = data.prefix(8).withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
    guard length <= 100 << 20, 8 + Int(length) <= data.count else {
      throw fail("the header claims \(length) bytes, the file has \(data.count); it may be truncated")
    }
    let start = 8 + Int(length)
    guard let header = try? JSONSerialization.jsonObject(with: data[8..<start]) as? [String: Any] else {
      throw fail("the header is not a JSON object")
    }
    var entries: [String: Entry] = [:]
    for (name, value) in header where name != "__metadata__" {
      guard let fields = value as? [String: Any], let type = fields["dtype"] as? String,
        let shape = fields["shape"] as? [Int], let offsets = fields["data_offsets"] as? [Int], offsets.count == 2
      else { throw fail("the entry of \(name) is malformed") }
      let size = Self.sizes[type] ?? 0
      var bytes = size
      for extent in shape {
        let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
        guard extent >= 0, !overflow else { throw fail("\(name) has the impossible shape \(shape)") }
        bytes = product
      }
      guard offsets[0] >= 0, offsets[1] >= offsets[0], offsets[1] <= data.count - start else {
        throw fail("\(name) lies beyond the end of the file; it may be truncated")
      }
      guard size == 0 || offsets[1] - offsets[0] == bytes else {
        throw fail("\(name) has \(offsets[1] - offsets[0]) bytes, its shape \(shape) needs \(bytes)")
      }
      entries[name] = Entry(type: type, shape: shape, range: start + offsets[0]..<start + offsets[1])
    }
    metadata = header["__metadata__"] as? [String: String] ?? [:]
    self.entries = entries
  }

  private static let sizes = ["F32": 4, "F16": 2, "F64": 8, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1]

  /// The shape of a tensor, or nil when there is none of that name.
  public func shape(of name: String) -> Shape? { entries[name]?.shape }

  /// The elements of a tensor as float32.
  /// - Throws: `FileError` when it is missing or of a type other than float32, float16, float64.
  public func values(of name: String) throws -> [Float] {
    guard let entry = entries[name] else {
      let some = names.prefix(4).joined(separator: ", ")
      throw FileError(path, "has no tensor named \(name) (it has \(some)\(names.count > 4 ? ", ..." : ""))")
    }
    let count = entry.shape.elementCount
    defer { file?.release(entry.range) }
    return try data[entry.range].withUnsafeBytes { bytes in
      switch entry.type {
      case "F32": return (0..<count).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      case "F64": return (0..<count).map { Float(bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self)) }
      case "F16":
        return (0..<count).map {
          Float(Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)))
        }
      default: throw FileError(path, "\(name) is of type \(entry.type); F32, F16 and F64 are read")
      }
    }
  }

  /// A tensor on a device.
  public func tensor(_ name: String, on device: any Device) throws -> Tensor {
    guard let entry = entries[name], entry.type == "F32" else {
      return try Tensor(values(of: name), shape: entries[name]?.shape ?? [], device: device)
    }
    defer { file?.release(entry.range) }
    return try data[entry.range].withUnsafeBytes { try Tensor(bytes: $0, shape: entry.shape, device: device) }
  }

  /// All float tensors on a device.
  public func tensors(on device: any Device) throws -> [String: Tensor] {
    try Dictionary(
      uniqueKeysWithValues: entries.filter { $0.value.type.hasPrefix("F") && $0.value.shape.elementCount > 0 }
        .map { ($0.key, try tensor($0.key, on: device)) })
  }

  /// Writes tensors and metadata: beside the target first, then renamed, so that no half-written file is ever seen.
  public static func write(_ tensors: [String: Tensor], metadata: [String: String] = [:], to url: URL) throws {
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
      try file.write(contentsOf: Data(bytes: &length, count: 8) + json)
      // One at a time, so that no copy of them all is in memory.
      for (_, tensor) in tensors { try tensor.values().withUnsafeBytes { try file.write(contentsOf: $0) } }
    }
  }
}
