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
  /// Work-groups that a tiled product is split into, where its depth allows, so that no compute unit is idle.
  package var tiledGroups: Int
  /// Floats of transformed input and products that a Winograd convolution has in flight: near a processor's cache, while
  /// a GPU wants launches that fill it.
  var winogradScratch: Int
  /// The memory that packed and transformed weights may hold between uses.
  var derivedBytes: Int
  /// The least memory that is asked of the device at a time, of which tensors are sub-buffers. 0 gives every tensor a
  /// memory object of its own: on GPUs, where a step through sub-buffers took sixteen times as long as its kernels
  /// (docs/gpu.md), and for a simulator that checks the bounds of those.
  var slabBytes: Int
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
    tileItems = isProcessor ? 0 : [256, 128].first { $0 <= device.maxWorkGroupSize } ?? 64
    tiledGroups = 2 * device.computeUnits
    winogradScratch = isProcessor ? 4 << 20 : 32 << 20
    // A processor shares its memory with everything else on the machine.
    derivedBytes = isProcessor ? 16 << 20 : device.globalMemoryBytes / 16
    // A processor's memory is taken page by page as it is touched: large slabs cost nothing, and tensors fit them better.
    slabBytes = isSimulator || !isProcessor ? 0 : min(256 << 20, device.maxAllocationBytes)
    lengthsPerOctave = isSimulator || isProcessor ? 0 : 8
  }

  /// The length of memory to ask for where `bytes` are needed.
  func memoryLength(for bytes: Int) -> Int {
    guard lengthsPerOctave > 0, bytes > 0 else { return bytes }
    let octave = 1 << (Int.bitWidth - 1 - bytes.leadingZeroBitCount)
    let step = max(1, octave / lengthsPerOctave)
    return (bytes + step - 1) / step * step
  }

  /// Options of clBuildProgram.
  var options: String {
    "-cl-std=CL1.2 -D RUN=\(run) -D LANES=\(lanes) -D VECTOR_LANES=\(vectorLanes) -D TILE_ITEMS=\(tileItems)u"
      + " -D PREFETCH=\(prefetches ? 1 : 0)"
  }
}
