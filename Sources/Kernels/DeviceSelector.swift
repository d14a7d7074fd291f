import Foundation

/// A device and why it was taken.
public struct DeviceChoice {
  /// The device, open; its kernels are built when they are first used.
  public let device: any Device
  /// One sentence for people.
  public let reason: String
  /// What had to be done otherwise than the driver would, for people; nil where nothing had to.
  public var note: String?
}

@available(*, unavailable)
extension DeviceChoice: Sendable {}

/// Opens the device that `request` names, within a limit of bytes to hold in tensors; without one, all that the device has.
///
/// - `auto` (or nil): a GPU if there is one, with memory of its own before one that shares the host's, and the one with the most; else an
///   accelerator, else an OpenCL CPU device, else the CPU fallback.
/// - `cpu`: the CPU fallback, no OpenCL at all.
/// - `opencl`, `opencl:P`, `opencl:P:D`: the first device; of platform P; device D of platform P.
/// - anything else: the one device whose name or platform contains it, in any case.
/// - Throws: `KernelsError.noDevice`, listing the devices there are, or saying why the one that is named gives wrong results.
public func selectDevice(_ request: String? = nil, memoryLimit: Int? = nil) throws -> DeviceChoice {
  let request = request ?? "auto"
  if request == "cpu" { return DeviceChoice(device: CPUDevice(memoryLimit: memoryLimit), reason: "asked for by name") }
  let found = try openCLDevices()

  if request == "auto" {
    let complaints = found.map { $0.complaint() ?? $0.defect() }
    let usable = zip(found, complaints).filter { $1 == nil }.map(\.0)
    let complaint = complaints.compactMap { $0 }.joined(separator: "\n")
    func note(_ own: String?) -> String? {
      let all = (own.map { [$0] } ?? []) + (complaint.isEmpty ? [] : [complaint])
      return all.isEmpty ? nil : all.joined(separator: "\n")
    }
    for kind in [OpenCLDeviceInfo.Kind.gpu, .accelerator, .other, .cpu] {
      let ofKind = usable.filter { $0.kind == kind }
      // The loader's order says nothing; of equals it decides.
      guard let first = ofKind.first else { continue }
      let info = kind == .cpu ? first : ofKind.dropFirst().reduce(first) { $1.isLarger(than: $0) ? $1 : $0 }
      let reason =
        kind == .cpu
        ? "no GPU among the \(found.count) OpenCL device(s)"
        : ofKind.count == 1 ? "the only \(kind.rawValue)" : "the largest of \(ofKind.count), \(kind.rawValue)"
      return DeviceChoice(
        device: try OpenCLDevice(info, memoryLimit: memoryLimit), reason: reason, note: note(info.driverNote))
    }
    return DeviceChoice(
      device: CPUDevice(memoryLimit: memoryLimit),
      reason: found.isEmpty
        ? "no OpenCL platform; install the GPU's driver, or pocl-opencl-icd for a faster CPU device"
        : "no OpenCL device whose driver builds the kernels and runs them right", note: note(nil))
  }

  let list =
    found.isEmpty
    ? "there is no OpenCL device"
    : "there are: " + found.map { "opencl:\($0.platformIndex):\($0.deviceIndex) \($0.name)" }.joined(separator: ", ")
  let matches: [OpenCLDeviceInfo]
  let parts = request.split(separator: ":", omittingEmptySubsequences: false)
  if parts[0] == "opencl", parts.count <= 3, parts.dropFirst().allSatisfy({ Int($0) != nil }) {
    let numbers = parts.dropFirst().map { Int($0)! }
    matches = found.filter {
      (numbers.count < 1 || $0.platformIndex == numbers[0]) && (numbers.count < 2 || $0.deviceIndex == numbers[1])
    }
  } else {
    matches = found.filter {
      $0.name.localizedCaseInsensitiveContains(request) || $0.platform.localizedCaseInsensitiveContains(request)
    }
  }
  guard let first = matches.first else {
    throw KernelsError.noDevice("no device matches '\(request)'; \(list); 'cpu' is always there")
  }
  if let defect = first.defect() { throw KernelsError.noDevice(defect) }
  return DeviceChoice(
    device: try OpenCLDevice(first, memoryLimit: memoryLimit), reason: "asked for by '\(request)'",
    note: first.driverNote)
}

extension OpenCLDeviceInfo {
  /// Whether it is to be taken before another of its kind.
  fileprivate func isLarger(than other: OpenCLDeviceInfo) -> Bool {
    sharesHostMemory == other.sharesHostMemory
      ? globalMemoryBytes > other.globalMemoryBytes : !sharesHostMemory
  }
}
