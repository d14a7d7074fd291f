import COpenCL

/// What an OpenCL device was measured to reach.
package struct DevicePeaks: Encodable, Sendable {
  /// Fused multiply-adds as two operations each, in GFLOP/s.
  package var gigaflops: Double
  /// Bytes read and written by a copy larger than any cache, in GB/s.
  package var gigabytes: Double

  /// How many vectors at once the multiply-adds are measured with: a kernel each.
  static let vectors = [5, 8, 12]
}

extension OpenCLDevice {
  /// Measures arithmetic and copy peaks: the best of several runs by event time.
  package func measurePeaks() throws -> DevicePeaks {
    let saved = profiler
    defer { profiler = saved }
    func best(_ name: String, _ body: () throws -> Void) throws -> Double {
      try body()
      var shortest = Double.infinity
      for _ in 0..<7 {
        let timer = KernelProfiler()
        profiler = timer
        try body()
        try synchronize()
        shortest = min(shortest, timer.entries[name]?.seconds ?? .infinity)
      }
      return shortest
    }
    let items = max(64, info.computeUnits * (isCPU ? 16 : 4096))
    let lanes = parameters.lanes == 16 ? 16 : 4  // PEAK_LANES of kernels.cl
    let rounds = isCPU ? 200_000 : 4_000
    let small = try allocate(items * lanes)
    let arithmetic = try DevicePeaks.vectors.map { vectors in
      let seconds = try best("peak_fma_\(vectors)") {
        try launch(
          .peak, "peak_fma_\(vectors)", .blocks, global: [items], .buffer(small), .uint(rounds), .float(0.999),
          .float(0.001))
      }
      return Double(items * rounds * vectors * lanes * 2) / seconds * 1e-9
    }.max()!
    // Global sizes are rounded up, and peak_fma writes for every work-item: a multiple of any group size here.
    let count = min(64 << 20, info.maxAllocationBytes / 16) / 4096 * 4096
    let (x, y) = (try allocate(count), try allocate(count))
    try fill(x, count: count, value: 1)
    let copy = try best("peak_copy") {
      try launch(.peak, "peak_copy", .elements, global: [count / 16], .buffer(x), .buffer(y), .uint(count))
    }
    return DevicePeaks(
      gigaflops: arithmetic, gigabytes: Double(count) * 8 / copy * 1e-9)
  }
}
