import Foundation
import Kernels

/// All devices that tests run on: the CPU fallback and every OpenCL device; only the latter under
/// TSDF_TEST_OPENCL_ONLY, for simulators in which the fallback would prove nothing.
public func testDevices() throws -> [any Device] {
  let host: [any Device] = ProcessInfo.processInfo.environment["TSDF_TEST_OPENCL_ONLY"] == nil ? [CPUDevice()] : []
  let devices = try host + openCLDevices().map { try OpenCLDevice($0) }
  guard !devices.isEmpty else { throw KernelsError.noDevice("there is no OpenCL device to test") }
  return devices
}

/// A file of the project, by its path from the top.
public func projectURL(_ path: String) -> URL {
  URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent(path)
}

/// A file of Tests/Goldens.
public func goldenURL(_ name: String) -> URL {
  projectURL("Tests/Goldens/\(name).safetensors")
}

/// |a - b| / |b| in the Euclidean norm, or |a - b| where b is zero; infinite when the counts differ.
public func relativeError(_ a: [Float], _ b: [Float]) -> Double {
  guard a.count == b.count else { return .infinity }
  let difference = zip(a, b).reduce(0) { $0 + pow(Double($1.0) - Double($1.1), 2) }
  let norm = b.reduce(0) { $0 + pow(Double($1), 2) }
  return (difference / (norm > 0 ? norm : 1)).squareRoot()
}
