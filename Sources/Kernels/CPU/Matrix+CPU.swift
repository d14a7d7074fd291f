import CMicrokernel

/// GEMM over packed panels, as on OpenCL; the register tile is the C microkernel's.
extension CPUDevice: MatrixKernels {
  static let tileRows = 6
  static let tileColumns = 16
  /// B panels that a task fills and multiplies at a time, so that A is read once for all of them.
  private static let panelsAtOnce = 4

  package func multiply(
    _ a: Buffer, transposingA: Bool, _ b: Buffer, transposingB: Bool, into c: Buffer, rows: Int, columns: Int,
    depth: Int
  ) throws {
    let (a, b, c) = try (a.floats, b.floats, c.floats)
    let (rowA, depthA) = transposingA ? (1, rows) : (depth, 1)
    let (depthB, columnB) = transposingB ? (1, depth) : (columns, 1)
    let packed = try packRows(rows: rows, depth: depth) { r, k in a[r &* rowA &+ k &* depthA] }
    try multiply(packed, rows: rows, columns: columns, depth: depth) { panel, first, count in
      for k in 0..<depth {
        for j in 0..<Self.tileColumns {
          panel[k &* Self.tileColumns &+ j] = j < count ? b[k &* depthB &+ (first &+ j) &* columnB] : 0
        }
      }
    } store: { row, first, values, count in
      (c + (row &* columns &+ first)).update(from: values, count: count)
    }
  }

  /// A's rows in panels of `tileRows`: [panel][k][row in panel], zero beyond the last row.
  func packRows(rows: Int, depth: Int, _ element: (_ row: Int, _ k: Int) -> Float) throws -> Buffer {
    let height = Self.tileRows
    let panels = (rows + height - 1) / height
    let packed = try allocate(panels * depth * height)
    let to = try packed.floats
    parallel(panels, grain: max(1, 4096 / depth)) { range in
      for panel in range {
        for k in 0..<depth {
          for r in 0..<height {
            let row = panel &* height &+ r
            to[(panel &* depth &+ k) &* height &+ r] = row < rows ? element(row, k) : 0
          }
        }
      }
    }
    return packed
  }

  /// All rows of packed A times B, a few panels of 16 columns a task: `fill` writes a panel [depth][16] for the `count`
  /// columns from `first`, `store` gets each row's sums for them.
  func multiply(
    _ packedA: Buffer, rows: Int, columns: Int, depth: Int,
    fill: (_ panel: UnsafeMutablePointer<Float>, _ first: Int, _ count: Int) -> Void,
    store: (_ row: Int, _ first: Int, _ values: UnsafePointer<Float>, _ count: Int) -> Void
  ) throws {
    let packedA = try packedA.floats
    let width = Self.tileColumns
    let panels = (columns + width - 1) / width
    let rowPanels = (rows + Self.tileRows - 1) / Self.tileRows
    let tileCount = rowPanels * Self.tileRows
    parallel(panels) { range in
      let atOnce = min(Self.panelsAtOnce, range.count)
      withUnsafeTemporaryAllocation(of: Float.self, capacity: atOnce * (depth + tileCount) * width) { scratch in
        let b = scratch.baseAddress!
        let c = b + atOnce * depth * width
        for start in stride(from: range.lowerBound, to: range.upperBound, by: atOnce) {
          let group = start..<min(start + atOnce, range.upperBound)
          for panel in group {
            fill(b + (panel - start) * depth * width, panel * width, min(width, columns - panel * width))
          }
          tsdf_gemm_panels(packedA, b, c, rowPanels, depth, group.count)
          for panel in group {
            let (first, count) = (panel * width, min(width, columns - panel * width))
            let values = c + (panel - start) * tileCount * width
            for row in 0..<rows { store(row, first, values + row * width, count) }
          }
        }
      }
    }
  }
}
