/// What the kernels are compiled and dispatched with, for a device.
struct KernelParameters: Codable, Hashable {
  /// Neighbouring elements that one work-item of a memory-bound kernel takes: whole vectors on a processor; one on a
  /// GPU, where neighbouring work-items make one access of their neighbouring addresses.
  var run: Int
  /// Vectors of 16 pixels in a tile of the direct convolution: as many as the registers hold.
  var directVectors: Int
  /// The memory that packed and transformed weights may hold between uses.
  var derivedBytes = 16 << 20

  /// The least memory that is asked of the device at a time. 0 gives every tensor a memory object of its own, for a
  /// simulator that checks the bounds of those.
  var slabBytes: Int

  /// Good values for a device that was not measured.
  init(for device: OpenCLDeviceInfo) {
    let isCPU = device.kind == .cpu
    slabBytes =
      device.platform.localizedCaseInsensitiveContains("oclgrind") ? 0 : min(64 << 20, device.maxAllocationBytes)
    run = isCPU ? 16 : 1
    directVectors = isCPU && device.nativeFloatVector >= 16 ? 2 : 1
  }

  /// Options of clBuildProgram.
  var options: String { "-cl-std=CL1.2 -D RUN=\(run) -D DIRECT_VECTORS=\(directVectors)" }
}
