import Foundation
import Kernels

/// A PyTorch checkpoint (.pth, .ckpt, .pt), zip or legacy (before 1.6), read by a reader that builds tensors and
/// containers and executes nothing. Float, half and double tensors are read; shared and strided storages are resolved.
public struct TorchCheckpoint {
  public let path: String
  private let root: PickleValue
  private let storages: [String: Data]

  /// - Throws: `FileError` when the file is neither format, is truncated, or asks for anything but tensors.
  public init(contentsOf url: URL) throws { try self.init(MappedFile(url).data, path: url.path) }

  /// The same of a file's bytes.
  /// - Parameter path: for errors.
  public init(_ data: Data, path: String) throws {
    self.path = path
    (root, storages) =
      data.starts(with: [0x50, 0x4b, 0x03, 0x04])
      ? try Self.readZip(data, path) : try Self.readLegacy(data, path)
  }

  /// A zip archive of stored entries under a prefix: data.pkl, and data/KEY for each storage.
  private static func readZip(_ data: Data, _ path: String) throws -> (PickleValue, [String: Data]) {
    let entries = try StoredZip(data, path: path).entries
    guard let pickle = entries.first(where: { $0.key.hasSuffix("/data.pkl") }) else {
      throw FileError(path, "is a zip file without PyTorch's data.pkl")
    }
    let prefix = pickle.key.dropLast("data.pkl".count) + "data/"
    var reader = PickleReader(pickle.value, path: path)
    let root = try reader.read()
    let storages = entries.filter { $0.key.hasPrefix(prefix) }.map {
      (String($0.key.dropFirst(prefix.count)), $0.value)
    }
    return (root, Dictionary(uniqueKeysWithValues: storages))
  }

  /// Five pickles in a row (magic, protocol, system, object, storage keys), then each storage: a count and its data.
  private static func readLegacy(_ data: Data, _ path: String) throws -> (PickleValue, [String: Data]) {
    var position = 0
    func next() throws -> PickleValue {
      var reader = PickleReader(data, at: position, path: path)
      let value = try reader.read()
      position = reader.position
      return value
    }
    for _ in 0..<3 { _ = try next() }
    let root = try next()
    guard case .list(let keys) = try next() else { throw FileError(path, "is not a PyTorch checkpoint") }
    var elementWidths: [String: Int] = [:]
    collect(root) { elementWidths[$0.storage.key] = widths[$0.storage.type] ?? 1 }
    var storages: [String: Data] = [:]
    for case .string(let key) in keys.items {
      guard data.count - position >= 8 else { throw FileError(path, "is truncated: storage \(key) is missing") }
      let count = data[position..<position + 8].withUnsafeBytes { $0.loadUnaligned(as: Int64.self) }
      let width = elementWidths[key] ?? 4
      guard count >= 0, Int(count) <= (data.count - position - 8) / width else {
        throw FileError(path, "is truncated: storage \(key) has \(count) elements")
      }
      storages[key] = data[position + 8..<position + 8 + Int(count) * width]
      position += 8 + Int(count) * width
    }
    return (root, storages)
  }

  private static let widths = [
    "FloatStorage": 4, "HalfStorage": 2, "DoubleStorage": 8, "LongStorage": 8, "IntStorage": 4, "ByteStorage": 1,
    "BoolStorage": 1,
  ]

  private static func collect(_ value: PickleValue, _ body: (TorchTensor) -> Void) {
    switch value {
    case .tensor(let tensor): body(tensor)
    case .dictionary(let dictionary): for item in dictionary.items { collect(item.value, body) }
    case .list(let list): for item in list.items { collect(item, body) }
    case .tuple(let items): for item in items { collect(item, body) }
    default: break
    }
  }

  /// Whether the checkpoint is a dictionary with this key, and a dictionary under it.
  public func contains(key: String) -> Bool {
    guard case .dictionary(let top) = root else { return false }
    return top.items.contains {
      guard case (.string(key), .dictionary) = $0 else { return false }
      return true
    }
  }

  /// The float tensors by name. Dictionaries within dictionaries join their keys with dots; `module.` in front, which
  /// parallel training leaves, is dropped.
  /// - Parameter key: only what lies under this key (`G`, `gen_test`, `state_dict`).
  /// - Throws: `FileError` when there is no such key, or a storage does not hold a tensor's elements.
  public func tensors(under key: String? = nil, on device: any Device) throws -> [String: Tensor] {
    var found: [String: TorchTensor] = [:]
    func walk(_ value: PickleValue, _ prefix: String) {
      switch value {
      case .tensor(let tensor): found[prefix] = tensor
      case .dictionary(let dictionary):
        for case (.string(let name), let item) in dictionary.items {
          walk(item, prefix.isEmpty ? name : "\(prefix).\(name)")
        }
      default: break
      }
    }
    walk(root, "")
    if let key {
      found = Dictionary(
        uniqueKeysWithValues: found.filter { $0.key.hasPrefix(key + ".") }
          .map { (String($0.key.dropFirst(key.count + 1)), $0.value) })
      guard !found.isEmpty else { throw FileError(path, "holds no tensor under the key \(key)") }
    }
    guard !found.isEmpty else { throw FileError(path, "holds no tensor by name") }
    var result: [String: Tensor] = [:]
    for (name, tensor) in found where ["FloatStorage", "HalfStorage", "DoubleStorage"].contains(tensor.storage.type) {
      let name = name.hasPrefix("module.") ? String(name.dropFirst("module.".count)) : name
      guard tensor.shape.elementCount > 0 else { continue }
      result[name] = try Tensor(values(of: tensor, name), shape: tensor.shape, device: device)
    }
    return result
  }

  private func values(of tensor: TorchTensor, _ name: String) throws -> [Float] {
    guard let data = storages[tensor.storage.key] else { throw FileError(path, "the storage of \(name) is missing") }
    let width = Self.widths[tensor.storage.type]!
    var last = tensor.offset
    var count = 1
    for (extent, stride) in zip(tensor.shape, tensor.strides) {
      let (reach, overflow) = (extent - 1).multipliedReportingOverflow(by: stride)
      let (product, second) = count.multipliedReportingOverflow(by: extent)
      guard !overflow, !second, reach < 1 << 40, product < 1 << 40 else {
        throw FileError(path, "\(name) is impossibly large")
      }
      (last, count) = (last + reach, product)
    }
    // A stride of 0 repeats elements; nothing that is trained is repeated at length.
    let repeats = tensor.strides.contains(0) && count <= 1 << 20
    guard last < data.count / width, count <= data.count / width || repeats else {
      throw FileError(path, "the storage of \(name) is too short; the file may be truncated")
    }
    var values: [Float] = []
    values.reserveCapacity(count)
    var index = [Int](repeating: 0, count: tensor.shape.count)
    data.withUnsafeBytes { bytes in
      for _ in 0..<count {
        let at = (tensor.offset + zip(index, tensor.strides).reduce(0) { $0 + $1.0 * $1.1 }) * width
        switch width {
        case 4: values.append(bytes.loadUnaligned(fromByteOffset: at, as: Float.self))
        case 8: values.append(Float(bytes.loadUnaligned(fromByteOffset: at, as: Double.self)))
        default: values.append(Float(Float16(bitPattern: bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self))))
        }
        for axis in index.indices.reversed() {
          index[axis] += 1
          if index[axis] < tensor.shape[axis] { break }
          index[axis] = 0
        }
      }
    }
    return values
  }
}

@available(*, unavailable)
extension TorchCheckpoint: Sendable {}

/// The entries of a zip archive whose contents are stored, not compressed, as PyTorch writes it.
struct StoredZip {
  let entries: [String: Data]

  init(_ data: Data, path: String) throws {
    func number(_ at: Int, _ count: Int) throws -> Int {
      guard at >= 0, at <= data.count - count else { throw FileError(path, "is a truncated zip file") }
      let value = (0..<count).reduce(0) { $0 | Int(data[data.startIndex + at + $1]) << (8 * $1) }
      // Places and sizes stay small enough to be added up.
      guard (0..<1 << 48).contains(value) else { throw FileError(path, "has a damaged zip directory") }
      return value
    }
    // The end record is within 64 KiB + 22 bytes of the end; the directory's place may be in the 64-bit record before it.
    let window = max(0, data.count - 65_557)
    guard
      let end = stride(from: data.count - 22, through: window, by: -1).first(where: {
        (try? number($0, 4)) == 0x0605_4b50
      })
    else { throw FileError(path, "is a truncated zip file") }
    var (count, at) = (try number(end + 10, 2), try number(end + 16, 4))
    if at == 0xffff_ffff || count == 0xffff {
      let record = try number(end - 20 + 8, 8)
      (count, at) = (try number(record + 32, 8), try number(record + 48, 8))
    }
    var entries: [String: Data] = [:]
    for _ in 0..<min(count, 1_000_000) {
      guard try number(at, 4) == 0x0201_4b50 else { throw FileError(path, "has a damaged zip directory") }
      let (method, nameLength, extraLength) = (try number(at + 10, 2), try number(at + 28, 2), try number(at + 30, 2))
      var (size, header) = (try number(at + 24, 4), try number(at + 42, 4))
      var packed = try number(at + 20, 4)
      // Fields too large for 32 bits follow in the 64-bit extra field, in this order.
      var extra = at + 46 + nameLength
      while extra + 4 <= at + 46 + nameLength + extraLength {
        if try number(extra, 2) == 1 {
          var field = extra + 4
          if size == 0xffff_ffff { (size, field) = (try number(field, 8), field + 8) }
          if packed == 0xffff_ffff { (packed, field) = (try number(field, 8), field + 8) }
          if header == 0xffff_ffff { header = try number(field, 8) }
        }
        extra += 4 + (try number(extra + 2, 2))
      }
      _ = try number(at + 46, nameLength == 0 ? 0 : 1)
      guard at + 46 + nameLength <= data.count else { throw FileError(path, "is a truncated zip file") }
      let name = String(
        decoding: data[data.startIndex + at + 46..<data.startIndex + at + 46 + nameLength], as: UTF8.self)
      let start = header + 30 + (try number(header + 26, 2)) + (try number(header + 28, 2))
      guard method == 0 else { throw FileError(path, "\(name) is compressed, which PyTorch does not do") }
      guard start >= 0, size >= 0, start <= data.count, size <= data.count - start else {
        throw FileError(path, "is truncated: \(name) is incomplete")
      }
      entries[name] = data[data.startIndex + start..<data.startIndex + start + size]
      at += 46 + nameLength + extraLength + (try number(at + 32, 2))
    }
    self.entries = entries
  }
}
