import Foundation
import Kernels

/// A tensor's elements in a storage, checked to lie in it.
struct StridedView {
  /// Elements; 0 where an extent is.
  let count: Int
  private let tensor: TorchTensor
  private let element: TorchStorage.Element
  private let data: Data

  /// - Parameters:
  ///   - storages: by key.
  ///   - name: of the tensor, for errors.
  /// - Throws: `FileError` when the storage is missing, or too short for the shape, or the shape overflows.
  init(
    _ tensor: TorchTensor, of storage: TorchStorage, in storages: [String: Data], path: String, name: String
  ) throws {
    var tensor = tensor
    // An axis of one element is never stepped along, so its stride may be anything; here it must not overflow.
    for axis in tensor.shape.indices where tensor.shape[axis] == 1 { tensor.strides[axis] = 0 }
    (self.tensor, element) = (tensor, storage.type)
    guard let data = storages[storage.key] else { throw FileError(path, "the storage of \(name) is missing") }
    self.data = data
    guard !tensor.shape.contains(0) else {
      count = 0
      return
    }
    var (last, count, overflows) = (tensor.offset, 1, false)
    for (extent, stride) in zip(tensor.shape, tensor.strides) {
      let reach = (extent - 1).multipliedReportingOverflow(by: stride)
      let sum = last.addingReportingOverflow(reach.partialValue)
      let product = count.multipliedReportingOverflow(by: extent)
      overflows = overflows || reach.overflow || sum.overflow || product.overflow
      (last, count) = (sum.partialValue, product.partialValue)
    }
    guard !overflows, count <= 1 << 40 else {
      throw FileError(path, "\(name) has the impossible shape \(tensor.shape) at offset \(tensor.offset)")
    }
    // A stride of 0 repeats elements; nothing that is trained is repeated at length.
    let available = data.count / element.width
    let repeats = zip(tensor.shape, tensor.strides).contains { $0 > 1 && $1 == 0 }
    guard last < available, count <= available || (repeats && count <= 1 << 20) else {
      throw FileError(path, "the storage of \(name) is too short; the file may be truncated")
    }
    self.count = count
  }

  /// The elements, row-major.
  func values() -> [Float] {
    data.withUnsafeBytes { bytes in
      [Float](unsafeUninitializedCapacity: count) { target, initialized in
        fill(target, from: bytes)
        initialized = count
      }
    }
  }

  private func fill(_ target: UnsafeMutableBufferPointer<Float>, from bytes: UnsafeRawBufferPointer) {
    // Row by row of the last axis, its places counted up like an odometer's.
    let length = tensor.shape.last ?? 1
    let step = tensor.strides.last ?? 1
    guard length > 0 else { return }
    var index = [Int](repeating: 0, count: max(0, tensor.shape.count - 1))
    var start = tensor.offset
    for row in 0..<count / length {
      for i in 0..<length { target[row * length + i] = value(at: start + i * step, of: bytes) }
      for axis in index.indices.reversed() {
        index[axis] += 1
        start += tensor.strides[axis]
        if index[axis] < tensor.shape[axis] { break }
        start -= index[axis] * tensor.strides[axis]
        index[axis] = 0
      }
    }
  }

  private func value(at position: Int, of bytes: UnsafeRawBufferPointer) -> Float {
    func load<T: BitwiseCopyable>(_ type: T.Type) -> T {
      bytes.loadUnaligned(fromByteOffset: position * MemoryLayout<T>.size, as: type)
    }
    switch element {
    case .double: return Float(load(Double.self))
    case .half: return Float(Float16(bitPattern: load(UInt16.self)))
    case .bfloat16: return Float(bfloat16: load(UInt16.self))
    default: return load(Float.self)
    }
  }
}
