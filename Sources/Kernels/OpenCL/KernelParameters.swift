/// What the kernels are compiled and dispatched with, for a device.
package struct KernelParameters: Codable, Hashable {
  /// Neighbouring elements that one work-item of a memory-bound kernel takes: whole vectors on a processor; one on a
  /// GPU, where neighbouring work-items make one access of their neighbouring addresses.
  var run: Int
  /// Tiles that one work-item of a Winograd transform takes: 16 as the lanes of a vector, or 1.
  var lanes: Int
  /// Floats of a register, 8 or 16: what vectors of the direct convolutions and tiles of the GEMM are made for.
  package var vectorLanes: Int
  /// Whether kernels ask for cache lines before their use.
  var prefetches: Bool
  /// Panels of B that a work-item of the register-tiled GEMM takes: A is read once for all of them.
  var columnPanels = 4
  /// Work-items of a work-group that makes a tile of a matrix product in local memory; 0 for products in registers, one
  /// work-item a tile.
  package var tileItems: Int
  /// Work-items that share a thread's registers in those, where the device lets kernels choose; 0 where it does not.
  var subGroup = 0
  /// Work-groups that a tiled product is split into, where its depth allows, so that no compute unit is idle.
  package var tiledGroups: Int
  /// Floats of transformed input and products that a Winograd convolution has in flight: near a processor's cache, and within a
  /// large GPU's, which does not say how large it is.
  var winogradScratch: Int
  /// The memory that packed and transformed weights may hold between uses.
  var derivedBytes: Int
  /// The least memory that is asked of the device at a time, of which tensors are sub-buffers. 0 gives every tensor a
  /// memory object of its own: on GPUs, where a step through sub-buffers took sixteen times as long as its kernels
  /// (docs/gpu.md), and for a simulator that checks the bounds of those.
  package var slabBytes: Int
  /// Lengths of memory objects to a power of two, so that what one tensor leaves serves another of nearly the same
  /// length; 0 for exact ones.
  var lengthsPerOctave = 0
  /// What was measured to be fastest, for shapes where the rules of `algorithm(for:)` were not.
  var algorithms: [ConvolutionShape: ConvolutionAlgorithm] = [:]

  /// Good values for a device that was not measured.
  /// - Parameter isProcessor: whether kernels run on processor cores, one work-item a core, not on a GPU.
  package init(for device: OpenCLDeviceInfo, isProcessor: Bool) {
    run = isProcessor ? 16 : 1
    lanes = isProcessor ? 16 : 1
    vectorLanes = isProcessor && device.nativeFloatVector >= 16 ? 16 : 8
    let isSimulator = device.platform.localizedCaseInsensitiveContains("oclgrind")
    prefetches = isProcessor && !isSimulator  // which does not know the instruction
    tileItems = isProcessor ? 0 : Self.tileSizes(upTo: device.maxWorkGroupSize)[0]
    subGroup = isProcessor || device.kind == .cpu ? 0 : device.leastSubGroup
    tiledGroups = 2 * device.computeUnits
    winogradScratch = isProcessor ? 4 << 20 : 8 << 20
    // A processor shares its memory with everything else on the machine.
    derivedBytes = isProcessor ? 16 << 20 : device.globalMemoryBytes / 16
    // A processor's memory is taken page by page as it is touched: large slabs cost nothing, and tensors fit them better.
    slabBytes = isSimulator || !isProcessor ? 0 : min(256 << 20, device.maxAllocationBytes)
    lengthsPerOctave = isSimulator || isProcessor ? 0 : 8
  }

  /// Sizes of work-group that tiles can be made by, the best first.
  static func tileSizes(upTo most: Int) -> [Int] { [256, 128].filter { $0 <= most } + [64] }

  /// The length of memory to ask for where `bytes` are needed.
  func memoryLength(for bytes: Int) -> Int {
    guard lengthsPerOctave > 0, bytes > 0 else { return bytes }
    let octave = 1 << (Int.bitWidth - 1 - bytes.leadingZeroBitCount)
    let step = max(1, octave / lengthsPerOctave)
    return (bytes + step - 1) / step * step
  }

  /// Rows of a packed panel of A, and columns of one of B: the register tile of the GEMM.
  static let tileRows = 6, tileColumns = 16

  /// Floats that planes lie further apart than they need to: a cache line, or planes of a power of two would share the sets of
  /// the cache.
  static let spacing = 16

  /// Panels of B in a register tile. A processor whose registers hold a row of a panel has enough of them for two, and needs
  /// twelve sums in flight to keep its multipliers busy.
  var tilePanels: Int { vectorLanes == 16 ? 2 : 1 }

  /// Rows of outputs in a tile of the direct convolution: a kernel each.
  static let directRows = [3, 4, 8]

  /// Those of them that suit the registers.
  var directTiles: [Int] { vectorLanes == 16 ? Self.directRows : [3, 4] }

  /// Vectors of pixels in a tile of so many rows: what the registers hold, sixteen of eight lanes or 32 of sixteen, and enough
  /// to hide the latency of a multiply-add.
  func directVectors(rows: Int) -> Int {
    switch rows {
    case 3: return vectorLanes == 16 ? 4 : 3
    case 4: return 2
    default: return vectorLanes == 16 ? 2 : 1
    }
  }

  /// Columns of the kernel in a tile of the direct weight gradient.
  var directColumns: Int { vectorLanes == 16 ? 7 : 4 }

  /// What kernels.cl knows of these, by the names it has for them.
  var definitions: [(name: String, value: String)] {
    [
      ("RUN", "\(run)"), ("LANES", "\(lanes)"), ("VECTOR_LANES", "\(vectorLanes)"),
      ("PREFETCH", prefetches ? "1" : "0"), ("MR", "\(Self.tileRows)"), ("NR", "\(Self.tileColumns)"),
      ("TILE_PANELS", "\(tilePanels)"), ("SPACING", "\(Self.spacing)"), ("DIRECT_COLUMNS", "\(directColumns)"),
      ("SUB_GROUP", "\(subGroup)"), ("FEW_ITEMS", "\(tileItems)"),
    ] + Self.directRows.map { ("VECTORS_OF_\($0)", "\(directVectors(rows: $0))") }
  }

  /// Options of clBuildProgram. Warnings are off: PoCL's compiler counts them on stderr.
  static let options = "-cl-std=CL1.2 -w"
}
