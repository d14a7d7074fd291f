import COpenCL

/// Device time by kernel, from OpenCL events. Set as `OpenCLDevice.profiler`; times are there after the next
/// read-back or `synchronize()`.
package final class KernelProfiler {
  /// Launches, summed and shortest device time of one kernel.
  package struct Entry: Sendable {
    package var launches = 0
    package var seconds = 0.0
    package var shortest = Double.infinity
  }

  /// By kernel name, and global size where asked for.
  package private(set) var entries: [String: Entry] = [:]
  private var pending: [(String, cl_event)] = []

  private let bySize: Bool

  /// - Parameter bySize: tell launches of one kernel apart by their global sizes.
  package init(bySize: Bool = false) { self.bySize = bySize }

  func record(_ name: String, _ globalSize: [Int], _ event: cl_event) {
    pending.append((bySize ? "\(name) \(globalSize)" : name, event))
  }

  func collect() throws {
    for (name, event) in pending {
      try check(withUnsafePointer(to: Optional(event)) { clWaitForEvents(1, $0) }, "clWaitForEvents")
      var start: cl_ulong = 0
      var end: cl_ulong = 0
      try check(
        clGetEventProfilingInfo(event, cl_profiling_info(CL_PROFILING_COMMAND_START), 8, &start, nil),
        "clGetEventProfilingInfo")
      try check(
        clGetEventProfilingInfo(event, cl_profiling_info(CL_PROFILING_COMMAND_END), 8, &end, nil),
        "clGetEventProfilingInfo")
      entries[name, default: Entry()].launches += 1
      entries[name]!.seconds += Double(end - start) * 1e-9
      entries[name]!.shortest = min(entries[name]!.shortest, Double(end - start) * 1e-9)
      clReleaseEvent(event)
    }
    pending.removeAll()
  }
}

@available(*, unavailable)
extension KernelProfiler: Sendable {}
