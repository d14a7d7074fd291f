import COpenCL

/// The sections of kernels.cl; each is built as a program of its own, when first needed.
enum KernelSection: String, CaseIterable {
  case elementwise, movement, reduce, norm, gemm, conv, winograd, pool, resample, random, optimise, peak
  case winogradStrided = "winograd_strided"

  /// The sections of shared functions whose text comes before this one's.
  fileprivate var shared: [String] {
    switch self {
    case .conv, .pool: return ["lanes"]
    case .winograd, .winogradStrided: return ["lanes", "tiles"]
    default: return []
    }
  }
}

/// The embedded text of kernels.cl, cut into its sections.
enum KernelSource {
  /// The program text of a section: the prelude, what it shares with others, and the section itself.
  static func text(of section: KernelSection) -> String {
    (["prelude"] + section.shared + [section.rawValue]).map { sections[$0] ?? "" }.joined()
  }

  private static let sections: [String: String] = {
    var length = 0
    let bytes = UnsafeBufferPointer(start: tsdf_kernel_source(&length), count: length)
    var result: [String: String] = [:]
    var name: String?
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("// == section: ") {
        name = String(line.dropFirst(15).prefix { $0 != " " })
      } else if let name {
        result[name, default: ""] += line + "\n"
      }
    }
    return result
  }()
}
