import COpenCL
import Foundation

/// Has this process give every freed block of host memory of 256 KiB or more back to the system at once, instead of keeping
/// it for the next. For processes that work on a device: OpenCL drivers leave holes of megabytes in the heap for every
/// program that they build. Not for those that decode pictures: fresh pages cost a quarter of a JPEG's coding.
package func returnLargeHostBlocks() { mallopt(M_MMAP_THRESHOLD, 256 << 10) }

/// The most memory that this process ever had resident, in bytes.
package func peakResidentBytes() -> Int {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss * 1024
}
