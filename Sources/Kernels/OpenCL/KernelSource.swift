import COpenCL

/// The sections of kernels.cl; built when first needed (`KernelProgram`).
enum KernelSection: String, CaseIterable {
  case elementwise, binary, movement, reduce, norm, pack, gemm, conv, columns, direct, winograd, pool, blocks, resample,
    random, optimise, peak, loops, few
  case winogradStrided = "winograd_strided"
  case winogradGradient = "winograd_gradient"
  /// The matrix products for GPUs, in three shapes of tile: one section of kernels.cl.
  case tiledLarge = "tiled_large"
  case tiledSmall = "tiled_small"
  case tiledThin = "tiled_thin"

  /// The sections of shared functions whose text comes before this one's.
  var shared: [String] {
    switch self {
    case .conv, .columns, .direct, .pool: return ["lanes"]
    case .winograd, .winogradStrided, .winogradGradient: return ["lanes", "tiles"]
    default: return []
    }
  }

  /// The tile that its text is built for, of a section that has one.
  var tile: TiledProduct.Tile? { TiledProduct.Tile.allCases.first { $0.section == self } }

  /// Whether its text depends on the work-items of a tile.
  var dependsOnTiles: Bool { tile != nil || self == .few }

  /// Whether a class of kernels has it: the GPUs', whose products are `tiled`, or the processors', whose products are made in
  /// registers.
  func isUsed(tiled: Bool) -> Bool {
    switch self {
    case .gemm, .columns, .direct, .winogradGradient: return !tiled
    case .tiledLarge, .tiledSmall, .tiledThin, .few: return tiled
    default: return true
    }
  }

  /// Its name in kernels.cl.
  var name: String { tile == nil ? rawValue : "tiled" }
}

/// The embedded text of kernels.cl, cut into its sections.
package enum KernelSource {
  /// All of kernels.cl.
  static var everything: String { sections.sorted { $0.key < $1.key }.map(\.value).joined() }

  /// The text of a section.
  /// - Throws: `KernelsError.usage` where there is none of that name: a defect of this library.
  package static func section(_ name: String) throws -> String {
    guard let text = sections[name] else { throw KernelsError.usage("kernels.cl has no section \(name)") }
    return text
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
