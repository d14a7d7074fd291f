import Foundation
import Kernels

/// A PyTorch checkpoint (.pth, .ckpt, .pt), zip or legacy (before 1.6), read by a reader that builds tensors and
/// containers and executes nothing. Float, half, bfloat16 and double tensors are read; shared and strided storages are
/// resolved. Work and memory grow with the file's size, whatever is in it.
package struct TorchCheckpoint: Sendable {
  package let path: String
  private let root: PickleValue
  private let contents: PickleContents
  private let storages: [String: Data]
  /// Bytes that tensors may take when all are read: storages are shared by few tensors.
  private let largestByteCount: Int

  /// Dictionaries within dictionaries, at most.
  private static let greatestDepth = 64

  /// - Throws: `FileError` when the file is neither format, is truncated, or asks for anything but tensors.
  package init(contentsOf url: URL) throws { try self.init(MappedFile(url).data, path: url.path) }

  /// The same of a file's bytes.
  /// - Parameter path: for errors.
  package init(_ data: Data, path: String) throws {
    self.path = path
    largestByteCount = 8 * data.count + 16 << 20
    if data.starts(with: [0x50, 0x4b, 0x03, 0x04]) {
      (root, contents, storages) = try Self.readZip(data, path)
    } else {
      try refuseDownloadedText(data, path: path)
      if Safetensors.matches(data) {
        throw FileError(path, "is a safetensors file, not a PyTorch checkpoint: it needs no conversion")
      }
      (root, contents, storages) = try Self.readLegacy(data, path)
    }
  }

  /// A zip archive of stored entries under a prefix: data.pkl, and data/KEY for each storage.
  private static func readZip(_ data: Data, _ path: String) throws -> (PickleValue, PickleContents, [String: Data]) {
    let zip = try StoredZip(data, path: path)
    let entries = zip.entries
    if let name = zip.compressed.min(by: { ($0.count, $0) < ($1.count, $1) }), !zip.isProgram {
      throw FileError(path, "\(name) is compressed, which PyTorch does not do")
    }
    guard let name = entries.keys.filter({ $0.hasSuffix("/data.pkl") }).min(), let pickle = entries[name] else {
      throw FileError(path, "is a zip file without PyTorch's data.pkl")
    }
    let folder = String(name.dropLast("data.pkl".count))
    if zip.isProgram {
      throw FileError(path, "is a TorchScript program, which is code: save its state_dict() and give that")
    }
    if let order = entries["\(folder)byteorder"], order.elementsEqual("big".utf8) {
      throw FileError(path, "holds big-endian numbers: load and save it again on a little-endian machine")
    }
    var reader = PickleReader(pickle, path: path)
    let (root, contents) = try reader.read()
    let prefix = "\(folder)data/"
    var storages: [String: Data] = [:]
    for (name, bytes) in entries where name.hasPrefix(prefix) { storages[String(name.dropFirst(prefix.count))] = bytes }
    return (root, contents, storages)
  }

  /// Five pickles in a row (magic, protocol, system, object, storage keys), then each storage: a count and its data.
  private static func readLegacy(_ data: Data, _ path: String) throws -> (
    PickleValue, PickleContents, [String: Data]
  ) {
    var position = 0
    func next() throws -> (root: PickleValue, contents: PickleContents) {
      var reader = PickleReader(data, at: position, path: path)
      let read = try reader.read()
      position = reader.position
      return read
    }
    for _ in 0..<3 { _ = try next() }
    let (root, contents) = try next()
    let index = try next()
    guard case .list(let keys) = index.root else { throw FileError(path, "is not a PyTorch checkpoint") }
    let widths = Dictionary(contents.storages.map { ($0.key, $0.type.width) }) { $1 }
    var storages: [String: Data] = [:]
    for case .string(let key) in index.contents.containers[keys] {
      guard data.count - position >= 8 else { throw FileError(path, "is truncated: storage \(key) is missing") }
      let start = data.startIndex + position
      let count = data[start..<start + 8].withUnsafeBytes { Int64(littleEndian: $0.loadUnaligned(as: Int64.self)) }
      let width = widths[key] ?? 4
      guard count >= 0, Int(count) <= (data.count - position - 8) / width else {
        throw FileError(path, "is truncated: storage \(key) has \(count) elements")
      }
      storages[key] = data[start + 8..<start + 8 + Int(count) * width]
      position += 8 + Int(count) * width
    }
    return (root, contents, storages)
  }

  /// Whether the checkpoint is a dictionary with this key, and a dictionary under it.
  package func contains(key: String) -> Bool {
    guard case .dictionary(let top) = root else { return false }
    return contents.entries(of: top).contains {
      guard $0.key == key, case .dictionary = $0.value else { return false }
      return true
    }
  }

  /// The float tensors by name. Dictionaries within dictionaries join their keys with dots; of a key that occurs twice the
  /// last counts; `module.` and `_orig_mod.` in front, which parallel training and compilation leave, are dropped.
  /// - Parameter key: only what lies under this key (`G`, `gen_test`, `state_dict`).
  /// - Throws: `FileError` when there is no such key, a storage does not hold a tensor's elements, or tensors share storages
  ///   so often that they would take more than eight times the file's size.
  package func tensors(under key: String? = nil, on device: any Device) throws -> [String: Tensor] {
    var found = try named()
    if let key {
      found = found.filter { $0.name.hasPrefix(key + ".") }.map {
        (String($0.name.dropFirst(key.count + 1)), $0.tensor)
      }
      guard !found.isEmpty else { throw FileError(path, "holds no tensor under the key \(key)") }
    }
    guard !found.isEmpty else { throw FileError(path, "holds no tensor by name") }
    var result: [String: Tensor] = [:]
    var remaining = largestByteCount
    for (name, tensor) in found where contents.storages[tensor.storage].type.isFloat {
      let plain = ["module.", "_orig_mod."].reduce(name) { $0.hasPrefix($1) ? String($0.dropFirst($1.count)) : $0 }
      let view = try StridedView(tensor, of: contents.storages[tensor.storage], in: storages, path: path, name: name)
      guard view.count > 0 else { continue }
      remaining -= view.count * MemoryLayout<Float>.size
      guard remaining >= 0 else {
        throw FileError(path, "its tensors would take over eight times the file's size: they share too much")
      }
      result[plain] = try Tensor(view.values(), shape: tensor.shape, device: device)
    }
    return result
  }

  /// The state of one of PyTorch's Adam optimisers: how many steps it took, and its moments, `NAME.m` and `NAME.v`, by the names of
  /// the parameters that it moves, which PyTorch numbers in the order of the network's own; nil where there is none.
  /// - Parameters:
  ///   - key: of the optimiser.
  ///   - network: the key of the network, whose buffers (norms' statistics) no optimiser moves.
  /// - Throws: `FileError` as `tensors(under:on:)`, and where it is not that network's.
  package func adamState(under key: String, of network: String, on device: any Device) throws -> (
    stepCount: Int, moments: [String: Tensor]
  )? {
    guard contains(key: key), contains(key: network) else { return nil }
    let parameters = try named().filter { $0.name.hasPrefix(network + ".") }.map {
      String($0.name.dropFirst(network.count + 1))
    }.filter { !$0.contains(".running_") && !$0.hasSuffix(".num_batches_tracked") }
    let found = try tensors(under: key, on: device)
    guard found.keys.contains(where: { $0.hasSuffix(".exp_avg") }) else { return nil }
    var moments: [String: Tensor] = [:]
    for (name, tensor) in found {
      let parts = name.split(separator: ".")
      guard parts.count == 3, parts[0] == "state", let number = Int(parts[1]), parameters.indices.contains(number)
      else {
        throw FileError(
          path, "\(key) has the state \(name), which is none of \(network)'s \(parameters.count) parameters")
      }
      switch parts[2] {
      case "exp_avg": moments["\(parameters[number]).m"] = tensor
      case "exp_avg_sq": moments["\(parameters[number]).v"] = tensor
      default: break
      }
    }
    let steps: Float?
    switch value(at: [key, "state", "0", "step"]) {
    case .int(let count): steps = Float(count)
    // Newer versions of PyTorch keep the count as a tensor.
    case .tensor(let number):
      let tensor = contents.tensors[number]
      steps = try StridedView(tensor, of: contents.storages[tensor.storage], in: storages, path: path, name: "step")
        .values().first
    default: steps = nil
    }
    guard let steps, let stepCount = Int(exactly: steps.rounded()), stepCount > 0 else {
      throw FileError(path, "\(key) does not say how many steps it took")
    }
    return (stepCount, moments)
  }

  /// What lies under keys within keys.
  private func value(at keys: [String]) -> PickleValue? {
    keys.reduce(root) { value, key in
      guard case .dictionary(let number)? = value else { return nil }
      return contents.entries(of: number).last { $0.key == key }?.value
    }
  }

  /// All tensors that lie in dictionaries within dictionaries, in order.
  private func named() throws -> [(name: String, tensor: TorchTensor)] {
    var found: [(name: String, tensor: TorchTensor)] = []
    var places: [String: Int] = [:]
    // A pickle may put one dictionary into many others: what that unfolds to is bounded by what there is.
    var remaining = 4 * contents.containers.reduce(0) { $0 + $1.count } + 1024
    var pending: [(value: PickleValue, name: String, depth: Int)] = [(root, "", 0)]
    while let (value, name, depth) = pending.popLast() {
      remaining -= 1
      guard remaining >= 0, depth <= Self.greatestDepth else {
        throw FileError(path, "nests dictionaries too deep, or one in itself; no network does")
      }
      switch value {
      case .tensor(let number):
        if let place = places.updateValue(found.count, forKey: name) {
          places[name] = place
          found[place].tensor = contents.tensors[number]
        } else {
          found.append((name, contents.tensors[number]))
        }
      case .dictionary(let number):
        let entries = contents.entries(of: number)
        guard entries.count <= remaining else {
          remaining = 0
          continue
        }
        // Last in, first out: in reverse, so that they come in order.
        for entry in entries.reversed() {
          pending.append((entry.value, name.isEmpty ? entry.key : "\(name).\(entry.key)", depth + 1))
        }
      default: break
      }
    }
    return found
  }
}

extension StoredZip {
  /// Whether it is a TorchScript program, which has constants beside its code.
  fileprivate var isProgram: Bool {
    entries.keys.contains { $0.hasSuffix("/constants.pkl") } || compressed.contains { $0.hasSuffix("/constants.pkl") }
  }
}
