/// One of several kernels that share a text, the section NAME_kernel of kernels.cl: what is defined before it.
struct KernelVariant {
  /// Its name.
  let kernel: String
  private let definitions: [(name: String, value: String)]

  /// - Parameter definitions: what differs, by the names that the text has for it.
  init(_ kernel: String, _ definitions: (name: String, value: String)...) {
    (self.kernel, self.definitions) = (kernel, [("KERNEL", kernel)] + definitions)
  }

  /// The kernel's text, from that of all.
  func text(_ shared: String) -> String {
    definitions.map { "#define \($0.name) \($0.value)\n" }.joined() + shared
      + definitions.map { "#undef \($0.name)\n" }.joined()
  }
}

extension KernelSection {
  /// The kernels that the section NAME_kernel is repeated for, after the section itself.
  var variants: [KernelVariant] {
    switch self {
    case .elementwise: return UnaryOperation.allCases.map { KernelVariant($0.kernel, ("VALUE", "\($0.rawValue)_of")) }
    case .binary: return BinaryOperation.allCases.map { KernelVariant($0.kernel, ("VALUE", "\($0.rawValue)_value")) }
    case .direct:
      return KernelParameters.directRows.map {
        KernelVariant("conv2d_direct_\($0)", ("ROWS", "\($0)"), ("VECTORS", "VECTORS_OF_\($0)"))
      }
    case .winogradGradient:
      return [("winograd_gradient", "6"), ("winograd_strided_gradient", "5")].map { KernelVariant($0, ("POINTS", $1)) }
    case .peak: return DevicePeaks.vectors.map { KernelVariant("peak_fma_\($0)", ("VECTORS", "\($0)")) }
    default: return []
    }
  }
}

extension UnaryOperation {
  /// The name of its kernel.
  var kernel: String { "unary_\(rawValue)" }
}

extension BinaryOperation {
  /// The name of its kernel.
  var kernel: String { "binary_\(rawValue)" }
}
