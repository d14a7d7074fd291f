import Foundation
import Kernels

/// Refuses a picture for which there is no memory, before any is taken: it is held as it was and as it becomes, and written.
/// - Parameter size: bytes of its pixels.
func checkMemory(forPicture size: Int, _ path: String) throws {
  // Small ones are not worth a look.
  guard size > 32 << 20 else { return }
  let available = availableMemory()
  guard 3 * size <= available else {
    throw FileError(path, "needs \(3 * size >> 20) MiB of memory; \(available >> 20) MiB are free")
  }
}

/// What this process may still take: of the machine's memory, and of the limits that it or its group of processes has.
private func availableMemory() -> Int {
  func number(in file: String, after key: String = "") -> Int? {
    guard let text = try? String(contentsOfFile: file, encoding: .utf8) else { return nil }
    let line = text.split(separator: "\n").first { $0.hasPrefix(key) }
    return line?.dropFirst(key.count).split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) }
  }
  var result = Int.max
  if let free = number(in: "/proc/meminfo", after: "MemAvailable:") { result = free << 10 }
  // What caches hold of a group's memory is given back when it is asked for.
  if let most = number(in: "/sys/fs/cgroup/memory.max"),
    let used = number(in: "/sys/fs/cgroup/memory.stat", after: "anon ")
  {
    result = min(result, most - used)
  }
  // RLIMIT_AS, a macro that Swift does not see.
  let addressSpace = __rlimit_resource_t(9)
  var limit = rlimit()
  if getrlimit(addressSpace, &limit) == 0, limit.rlim_cur < UInt64(Int.max),
    let pages = number(in: "/proc/self/statm")
  {
    result = min(result, Int(limit.rlim_cur) - pages * Int(sysconf(Int32(_SC_PAGESIZE))))
  }
  return max(0, result)
}
