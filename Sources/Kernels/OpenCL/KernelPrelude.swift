/// What kernels.cl and the host both need, stated once, here and in `KernelParameters`, and handed down as the text that
/// comes before the sections of kernels.cl.
enum KernelPrelude {
  /// The structs that kernels take.
  static var structures: String {
    Conv2dGeometry.kernelText + MatrixProduct.kernelText + WinogradTiling.kernelText
  }

  /// The text for a device.
  /// - Parameter tile: of the `tiled` section, where that follows.
  static func text(_ parameters: KernelParameters, tile: TiledProduct.Tile?) -> String {
    let flags = EpilogueFlag.allCases.map { ($0.kernelName, "\($0.rawValue)u") }
    let all = parameters.definitions + flags + (tile?.definitions(items: parameters.tileItems) ?? [])
    return all.map { "#define \($0) \($1)\n" }.joined() + structures
  }
}

/// What an epilogue has: EPILOGUE_ARGUMENTS of kernels.cl.
enum EpilogueFlag: UInt32, CaseIterable {
  case withBias = 1
  case withSlopes = 2
  /// A product is added to what is there.
  case accumulated = 4

  var kernelName: String {
    switch self {
    case .withBias: return "WITH_BIAS"
    case .withSlopes: return "WITH_SLOPES"
    case .accumulated: return "ACCUMULATED"
    }
  }
}
