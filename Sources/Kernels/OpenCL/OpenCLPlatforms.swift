import COpenCL
import Foundation

/// One device of one OpenCL platform, with the limits that this library minds.
public struct OpenCLDeviceInfo: Sendable {
  /// Position of the platform, and of the device in it: what `opencl:P:D` names.
  public let platformIndex: Int, deviceIndex: Int
  /// The platform's name, the device's, and the version of its driver, as the driver gives them.
  public let platform: String, name: String, driver: String
  package let vendor: String, version: String
  /// GPU, CPU, accelerator or other.
  public let kind: Kind
  /// OpenCL's CL_DEVICE_MAX_COMPUTE_UNITS: of a processor its threads.
  public let computeUnits: Int
  /// All memory of the device, in bytes; tensors may take less.
  public let globalMemoryBytes: Int
  /// Whether its memory is the host's.
  let sharesHostMemory: Bool
  /// Whether its driver builds kernels from source, of OpenCL 1.2 or newer.
  let buildsKernels: Bool
  /// Limits of a kernel's work-group and of a buffer.
  package let maxWorkGroupSize: Int, localMemoryBytes: Int, maxAllocationBytes: Int
  /// What the offset of a sub-buffer must be a multiple of.
  let addressAlignment: Int
  /// Floats in a register of the device's instruction set; 1 on GPUs, as a rule.
  let nativeFloatVector: Int
  /// The driver's own name of the device, for as long as the process runs; OpenCL may be called from any thread.
  nonisolated(unsafe) let id: cl_device_id

  /// The fewest work-items that can share a thread's registers, where the device lets kernels choose; else 0.
  let leastSubGroup: Int

  /// The most bytes that tensors take where nothing else is asked for: a GPU has other users, and one that shares the host's memory must
  /// leave some for the host.
  var usableBytes: Int {
    kind == .cpu ? globalMemoryBytes : sharesHostMemory ? globalMemoryBytes / 2 : globalMemoryBytes / 10 * 9
  }

  /// Its driver, for people.
  var compiler: String { "the driver of \(name) (\(platform), \(driver))" }

  /// A name for what depends on the device, its driver and `parts`.
  func digest(_ parts: String...) -> String {
    sha256(Data((parts + [platform, name, version, driver]).joined(separator: "\u{0}").utf8)).hexadecimal
  }

  /// Whether its driver is PoCL.
  var isPoCL: Bool { platform.contains("Portable Computing Language") }

  /// What had to be done otherwise than its driver would, for people.
  var driverNote: String? { isPoCL ? PoCLCache.replacement : nil }

  /// What the driver says that a device is; the raw values are for people.
  public enum Kind: String, Sendable {
    case gpu = "GPU"
    case cpu = "CPU"
    case accelerator = "accelerator"
    case other = "other"
  }
}

/// All devices of all OpenCL platforms, in the loader's order; empty where there is no platform.
/// - Throws: `KernelsError.openCL` where a driver does not answer.
public func openCLDevices() throws -> [OpenCLDeviceInfo] {
  _ = PoCLCache.replacement
  var platformCount: cl_uint = 0
  let status = clGetPlatformIDs(0, nil, &platformCount)
  if status == -1001 || platformCount == 0 { return [] }
  try check(status, "clGetPlatformIDs")
  var platforms = [cl_platform_id?](repeating: nil, count: Int(platformCount))
  try check(clGetPlatformIDs(platformCount, &platforms, nil), "clGetPlatformIDs")

  var found: [OpenCLDeviceInfo] = []
  for (platformIndex, platform) in platforms.enumerated() {
    guard let platform else { continue }
    var deviceCount: cl_uint = 0
    let everything = cl_device_type(CL_DEVICE_TYPE_ALL)
    guard clGetDeviceIDs(platform, everything, 0, nil, &deviceCount) == CL_SUCCESS, deviceCount > 0 else { continue }
    var devices = [cl_device_id?](repeating: nil, count: Int(deviceCount))
    try check(clGetDeviceIDs(platform, everything, deviceCount, &devices, nil), "clGetDeviceIDs")
    var length = 0
    try check(clGetPlatformInfo(platform, cl_platform_info(CL_PLATFORM_NAME), 0, nil, &length), "clGetPlatformInfo")
    var text = [CChar](repeating: 0, count: length + 1)
    try check(clGetPlatformInfo(platform, cl_platform_info(CL_PLATFORM_NAME), length, &text, nil), "clGetPlatformInfo")
    let platformName = string(text)
    for (deviceIndex, id) in devices.enumerated() {
      guard let id, try number(id, CL_DEVICE_AVAILABLE, as: cl_bool.self) != 0 else { continue }
      let type = try number(id, CL_DEVICE_TYPE, as: cl_device_type.self)
      let kind: OpenCLDeviceInfo.Kind =
        type & cl_device_type(CL_DEVICE_TYPE_GPU) != 0
        ? .gpu
        : type & cl_device_type(CL_DEVICE_TYPE_CPU) != 0
          ? .cpu : type & cl_device_type(CL_DEVICE_TYPE_ACCELERATOR) != 0 ? .accelerator : .other
      let version = try string(id, CL_DEVICE_VERSION)
      let hasCompiler = try number(id, CL_DEVICE_COMPILER_AVAILABLE, as: cl_bool.self) != 0
      found.append(
        OpenCLDeviceInfo(
          platformIndex: platformIndex, deviceIndex: deviceIndex, platform: platformName,
          name: try string(id, CL_DEVICE_NAME), driver: try string(id, CL_DRIVER_VERSION),
          vendor: try string(id, CL_DEVICE_VENDOR), version: version, kind: kind,
          computeUnits: Int(try number(id, CL_DEVICE_MAX_COMPUTE_UNITS, as: cl_uint.self)),
          globalMemoryBytes: Int(clamping: try number(id, CL_DEVICE_GLOBAL_MEM_SIZE, as: cl_ulong.self)),
          // OpenCL 2.0 and newer need not know the question.
          sharesHostMemory: (try? number(id, CL_DEVICE_HOST_UNIFIED_MEMORY, as: cl_bool.self)) ?? 0 != 0,
          buildsKernels: hasCompiler && isRecent(version),
          maxWorkGroupSize: try number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, as: Int.self),
          localMemoryBytes: Int(try number(id, CL_DEVICE_LOCAL_MEM_SIZE, as: cl_ulong.self)),
          maxAllocationBytes: Int(clamping: try number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, as: cl_ulong.self)),
          addressAlignment: Int(try number(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, as: cl_uint.self)) / 8,
          nativeFloatVector: Int(try number(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, as: cl_uint.self)), id: id,
          leastSubGroup: try leastSubGroup(id)))
    }
  }
  return found
}

/// Whether a version, "OpenCL 1.2 and more", is one whose language the kernels are written in.
private func isRecent(_ version: String) -> Bool {
  let numbers = version.split(separator: " ").dropFirst().first?.split(separator: ".").map { Int($0) ?? 0 } ?? []
  return numbers.count == 2 && (numbers[0], numbers[1]) >= (1, 2)
}

/// By cl_intel_required_subgroup_size.
private func leastSubGroup(_ id: cl_device_id) throws -> Int {
  let extensions = try string(id, CL_DEVICE_EXTENSIONS).split(separator: " ")
  guard extensions.contains("cl_intel_required_subgroup_size") else { return 0 }
  var length = 0
  var sizes = [Int](repeating: 0, count: 16)
  let question = cl_device_info(0x4108)  // CL_DEVICE_SUB_GROUP_SIZES_INTEL
  guard clGetDeviceInfo(id, question, MemoryLayout<Int>.size * sizes.count, &sizes, &length) == CL_SUCCESS else {
    return 0
  }
  return sizes.prefix(length / MemoryLayout<Int>.size).min() ?? 0
}

private func string(_ id: cl_device_id, _ property: Int32) throws -> String {
  var length = 0
  try check(clGetDeviceInfo(id, cl_device_info(property), 0, nil, &length), "clGetDeviceInfo")
  var text = [CChar](repeating: 0, count: length + 1)
  try check(clGetDeviceInfo(id, cl_device_info(property), length, &text, nil), "clGetDeviceInfo")
  return string(text).trimmingCharacters(in: .whitespaces)
}

private func number<T: FixedWidthInteger>(_ id: cl_device_id, _ property: Int32, as: T.Type) throws -> T {
  var value = T.zero
  try check(clGetDeviceInfo(id, cl_device_info(property), MemoryLayout<T>.size, &value, nil), "clGetDeviceInfo")
  return value
}
