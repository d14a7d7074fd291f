import COpenCL

/// The sections of kernels.cl; built when first needed (`KernelProgram`).
enum KernelSection: String, CaseIterable {
  case elementwise, binary, movement, reduce, norm, gemm, conv, direct, winograd, pool, blocks, resample, random,
    optimise, peak
  case winogradStrided = "winograd_strided"
  /// The matrix products for GPUs, in three shapes of tile.
  case tiledLarge = "tiled_large"
  case tiledSmall = "tiled_small"
  case tiledThin = "tiled_thin"

  /// The sections of shared functions whose text comes before this one's.
  var shared: [String] {
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

  /// The text of a section.
  static func section(_ name: String) -> String { sections[name] ?? "" }

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
