import Foundation

/// Writes pickles instruction by instruction, as no writer of pickles would.
public struct PickleWriter {
  public private(set) var bytes: [UInt8] = [0x80, 2]

  public init() {}

  public mutating func emit(_ instructions: UInt8...) { bytes += instructions }
  /// Instructions as characters, one a byte.
  public mutating func emit(_ text: String) { bytes += text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) } }

  public mutating func string(_ text: String) {
    bytes.append(UInt8(ascii: "X"))
    bytes += withUnsafeBytes(of: UInt32(text.utf8.count).littleEndian) { Array($0) }
    bytes += text.utf8
  }

  public mutating func int(_ value: Int) {
    // LONG1 of nine bytes: positive whatever the highest bit.
    bytes += [0x8a, 9] + withUnsafeBytes(of: UInt64(value).littleEndian) { Array($0) } + [0]
  }

  public mutating func tuple(_ values: [Int]) {
    emit("(")
    for value in values { int(value) }
    emit("t")
  }

  /// torch._utils._rebuild_tensor_v2 of a storage of floats.
  public mutating func tensor(storage: String, count: Int, offset: Int, shape: [Int], strides: [Int]) {
    emit("ctorch._utils\n_rebuild_tensor_v2\n((")
    string("storage")
    emit("ctorch\nFloatStorage\n")
    string(storage)
    string("cpu")
    int(count)
    emit("tQ")
    int(offset)
    tuple(shape)
    tuple(strides)
    emit(0x89, UInt8(ascii: "N"), UInt8(ascii: "t"), UInt8(ascii: "R"))
  }

  /// A dictionary of what `body` writes: keys and values in turn.
  public mutating func dictionary(_ body: (inout PickleWriter) -> Void) {
    emit("}(")
    body(&self)
    emit("u")
  }
}

/// A zip archive of stored entries.
public func storedZip(_ entries: [(name: String, data: [UInt8])]) -> Data {
  func number<T: FixedWidthInteger>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value.littleEndian) { Array($0) } }
  var body: [UInt8] = []
  var directory: [UInt8] = []
  for (name, data) in entries {
    let sizes = number(UInt32(data.count)) + number(UInt32(data.count))
    let lengths = number(UInt16(name.utf8.count)) + number(UInt16(0))
    directory += number(UInt32(0x0201_4b50)) + [UInt8](repeating: 0, count: 16) + sizes + lengths
    directory += [UInt8](repeating: 0, count: 10) + number(UInt32(body.count)) + Array(name.utf8)
    body += number(UInt32(0x0403_4b50)) + [UInt8](repeating: 0, count: 14) + sizes + lengths + Array(name.utf8) + data
  }
  let end =
    number(UInt32(0x0605_4b50)) + [0, 0, 0, 0] + number(UInt16(entries.count)) + number(UInt16(entries.count))
    + number(UInt32(directory.count)) + number(UInt32(body.count)) + [0, 0]
  return Data(body + directory + end)
}

/// A PyTorch checkpoint of one pickle and its storages, as `torch.save` lays it out.
public func torchZip(_ pickle: PickleWriter, storages: [String: [UInt8]] = [:], extra: [(String, [UInt8])] = []) -> Data
{
  storedZip(
    [("a/data.pkl", pickle.bytes)] + storages.sorted { $0.key < $1.key }.map { ("a/data/\($0.key)", $0.value) }
      + extra.map { ("a/\($0.0)", $0.1) })
}

/// The bytes of a safetensors file with this header.
public func safetensorsFile(header: String, data: [UInt8] = []) -> Data {
  safetensorsFile(header: Array(header.utf8), data: data)
}

/// The same of a header's bytes.
public func safetensorsFile(header: [UInt8], data: [UInt8]) -> Data {
  Data(withUnsafeBytes(of: UInt64(header.count).littleEndian) { Array($0) } + header + data)
}
