extension OpenCLDevice {
  /// How a kernel's work-items are grouped; none of the kernels depends on the choice.
  enum Grouping {
    /// Many light work-items along the first axis.
    case elements
    /// Work-items of a row's work each, many of them.
    case rows
    /// Few heavy work-items: one a group on a CPU, a wavefront's worth elsewhere.
    case blocks
    /// Groups of exactly this size, whose work-items share local memory.
    case tiles([Int])
    /// One group a unit of work, of at most so many work-items, which share the reduction: the global size counts groups.
    case groups(upTo: Int)

    var countsGroups: Bool { if case .groups = self { true } else { false } }
  }

  /// The work-group of a launch, by axis.
  /// - Parameter most: work-items of a group that the kernel runs in.
  func localSize(_ grouping: Grouping, _ global: [Int], most kernelMost: Int) -> [Int] {
    let most = min(info.maxWorkGroupSize, kernelMost, 256)
    var local = [Int](repeating: 1, count: global.count)
    switch grouping {
    case .tiles(let size):
      return size
    case .elements:
      guard isCPU else { return overRows(global, of: most) }
      // The widest of few sizes that wastes at most a quarter: every size used is one more compilation on PoCL.
      let width = global[0]
      local[0] = [256, 64, 16].first { $0 <= most && (width + $0 - 1) / $0 * $0 <= width + width / 4 } ?? min(16, most)
    case .rows:
      guard isCPU else { return overRows(global, of: min(64, most)) }
      local[0] = 16
    case .blocks:
      local[0] = isCPU ? 1 : min(64, most)
    case .groups(let wanted):
      local[0] = isCPU ? 1 : powersOfTwo(upTo: min(info.maxWorkGroupSize, kernelMost, wanted)).last!
    }
    return local
  }

  /// Groups of so many work-items on a GPU: of a narrow row, several rows of it, or most of a wavefront would have nothing to do.
  private func overRows(_ global: [Int], of items: Int) -> [Int] {
    var local = [Int](repeating: 1, count: global.count)
    let powers = powersOfTwo(upTo: items)
    local[0] = powers.first { $0 >= min(8, items) && $0 >= global[0] } ?? powers.last!
    if global.count > 1 { local[1] = items / local[0] }
    return local
  }
}

/// 1, 2, 4 and so on.
private func powersOfTwo(upTo most: Int) -> [Int] { Array(sequence(first: 1) { $0 * 2 <= most ? $0 * 2 : nil }) }
