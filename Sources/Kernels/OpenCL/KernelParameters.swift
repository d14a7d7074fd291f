/// What the kernels are compiled and dispatched with, for a device.
struct KernelParameters: Codable, Hashable {
  /// Neighbouring elements that one work-item of a memory-bound kernel takes: whole vectors on a processor; one on a
  /// GPU, where neighbouring work-items make one access of their neighbouring addresses.
  var run: Int
  /// Tiles that one work-item of a Winograd transform takes: 16 as the lanes of a vector, or 1.
  var lanes: Int
  /// Vectors of 16 pixels in a tile of the direct convolution: as many as the registers hold.
  var directVectors: Int
  /// Panels of B that a work-item of the register-tiled GEMM takes: A is read once for all of them.
  var columnPanels = 4
  /// Panels of A in a work-group's tile of the local-memory GEMM; 0 for the register-tiled one.
  var tilePanels: Int
  /// Floats of transformed input and products that a Winograd convolution has in flight.
  var winogradScratch = 4 << 20
  /// The memory that packed and transformed weights may hold between uses.
  var derivedBytes: Int
  /// The least memory that is asked of the device at a time. 0 gives every tensor a memory object of its own, for a
  /// simulator that checks the bounds of those.
  var slabBytes: Int
  /// What was measured to be fastest, for shapes where the rules of `algorithm(for:)` were not.
  var algorithms: [ConvolutionShape: ConvolutionAlgorithm] = [:]

  /// Good values for a device that was not measured.
  /// - Parameter isProcessor: whether kernels run on processor cores, one work-item a core, not on a GPU.
  init(for device: OpenCLDeviceInfo, isProcessor: Bool) {
    run = isProcessor ? 16 : 1
    lanes = isProcessor ? 16 : 1
    directVectors = isProcessor && device.nativeFloatVector >= 16 ? 2 : 1
    tilePanels = isProcessor ? 0 : max(1, min(16, device.maxWorkGroupSize / 16))
    // A processor shares its memory with everything else on the machine.
    derivedBytes = isProcessor ? 16 << 20 : device.globalMemoryBytes / 16
    let isSimulator = device.platform.localizedCaseInsensitiveContains("oclgrind")
    slabBytes = isSimulator ? 0 : min(64 << 20, device.maxAllocationBytes)
  }

  /// Options of clBuildProgram.
  var options: String {
    "-cl-std=CL1.2 -D RUN=\(run) -D LANES=\(lanes) -D DIRECT_VECTORS=\(directVectors) -D TILE_PANELS=\(max(1, tilePanels))"
  }
}
