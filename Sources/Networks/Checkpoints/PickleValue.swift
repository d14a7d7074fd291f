/// What a restricted pickle can hold: scalars, and the numbers of containers, storages and tensors in its `PickleContents`.
/// Values are flat: what a pickle nests, or makes contain itself, nests nothing in memory, so nothing that walks or frees them
/// recurses.
enum PickleValue {
  case none
  case bool(Bool)
  case int(Int)
  case float(Double)
  case string(String)
  case tuple(Int)
  case list(Int)
  case dictionary(Int)
  /// A name that is allowed, waiting to be called.
  case global(String)
  case storage(Int)
  case tensor(Int)
}

/// All that a pickle made.
struct PickleContents {
  /// The items of tuples and lists; keys and values of dictionaries in turn. A pickle may fill a container after it was put
  /// into another. Number 0 is the empty tuple.
  var containers: [[PickleValue]] = [[]]
  var storages: [TorchStorage] = []
  var tensors: [TorchTensor] = []

  /// The entries of a dictionary whose keys are text, or whole numbers as text, in order.
  func entries(of dictionary: Int) -> [(key: String, value: PickleValue)] {
    let items = containers[dictionary]
    return stride(from: 0, to: items.count - 1, by: 2).compactMap { i in
      switch items[i] {
      case .string(let key): return (key, items[i + 1])
      case .int(let key): return ("\(key)", items[i + 1])
      default: return nil
      }
    }
  }
}

/// A run of numbers somewhere in a checkpoint.
struct TorchStorage {
  var type: Element
  var key: String

  /// What PyTorch calls NAMEStorage.
  enum Element: String, CaseIterable {
    case float = "Float"
    case half = "Half"
    case double = "Double"
    case bfloat16 = "BFloat16"
    case long = "Long"
    case int = "Int"
    case short = "Short"
    case char = "Char"
    case byte = "Byte"
    case bool = "Bool"

    /// Bytes of a number.
    var width: Int {
      switch self {
      case .double, .long: return 8
      case .float, .int: return 4
      case .half, .bfloat16, .short: return 2
      case .char, .byte, .bool: return 1
      }
    }

    /// Whether tensors of it are read.
    var isFloat: Bool { [.float, .half, .double, .bfloat16].contains(self) }
  }
}

/// A strided view of a storage.
struct TorchTensor {
  /// Its number in `PickleContents`.
  var storage: Int
  var offset: Int
  var shape: [Int]
  var strides: [Int]
}
