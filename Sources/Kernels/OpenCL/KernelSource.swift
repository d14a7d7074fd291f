import COpenCL

/// The sections of kernels.cl; each is built as a program of its own, when first needed.
enum KernelSection: String, CaseIterable {
  case elementwise, binary, movement, reduce, norm, gemm, conv, direct, winograd, pool, blocks, resample, random,
    optimise, peak
  case winogradStrided = "winograd_strided"
  /// The matrix products for GPUs, in three shapes of tile.
  case tiledLarge = "tiled_large"
  case tiledSmall = "tiled_small"
  case tiledThin = "tiled_thin"

  /// Whether a program holds one kernel of the section alone.
  var hasProgramPerKernel: Bool { self == .binary }

  /// The sections of shared functions whose text comes before this one's.
  fileprivate var shared: [String] {
    switch self {
    case .conv, .direct, .pool: return ["lanes"]
    case .winograd, .winogradStrided: return ["lanes", "tiles"]
    case .tiledLarge: return ["tile_large", "tiled"]
    case .tiledSmall: return ["tile_small", "tiled"]
    case .tiledThin: return ["tile_thin", "tiled"]
    default: return []
    }
  }
}

/// The embedded text of kernels.cl, cut into its sections.
enum KernelSource {
  /// All of kernels.cl.
  static var everything: String { sections.sorted { $0.key < $1.key }.map(\.value).joined() }

  /// The program text that has a kernel: the prelude, what the section shares with others, and the section itself. Of
  /// the many one-line kernels of the binary section, only the one that is asked for.
  static func text(of section: KernelSection, for kernel: String) -> String {
    let own = sections[section.rawValue] ?? ""
    let wanted = section.hasProgramPerKernel ? only(kernel, of: own) : own
    return (["prelude"] + section.shared).map { sections[$0] ?? "" }.joined() + wanted
  }

  private static func only(_ kernel: String, of text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
      !line.hasPrefix("BINARY(") || line.hasPrefix("BINARY(\(kernel.dropFirst("binary_".count)),")
    }.joined(separator: "\n")
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
