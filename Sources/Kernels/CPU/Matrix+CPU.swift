/// The register tile of the CPU GEMM: 4 rows by 16 columns in SIMD accumulators.
private typealias Lanes = SIMD8<Float>

extension CPUDevice: MatrixKernels {
  static let tileRows = 4
  static let tileColumns = 16

  public func multiply(
    _ a: Buffer, transposingA: Bool, _ b: Buffer, transposingB: Bool, into c: Buffer, rows: Int, columns: Int,
    depth: Int
  ) throws {
    let (a, b, c) = (a.floats, b.floats, c.floats)
    let (rowA, depthA) = transposingA ? (1, rows) : (depth, 1)
    let (depthB, columnB) = transposingB ? (1, depth) : (columns, 1)
    let packedA = try packRows(rows: rows, depth: depth) { r, k in a[r &* rowA &+ k &* depthA] }
    let width = Self.tileColumns
    let panels = (columns + width - 1) / width
    parallel(panels) { range in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: depth * width) { panel in
        let panel = panel.baseAddress!
        for index in range {
          let first = index * width
          let count = min(width, columns - first)
          for k in 0..<depth {
            for j in 0..<width {
              panel[k &* width &+ j] = j < count ? b[k &* depthB &+ (first &+ j) &* columnB] : 0
            }
          }
          multiplyPanel(packedA, panel, rows: rows, depth: depth) { row, values in
            for j in 0..<count { c[row &* columns &+ first &+ j] = values[j] }
          }
        }
      }
    }
  }

  /// A's rows in panels of `tileRows`: [panel][k][row in panel], zero beyond the last row.
  func packRows(rows: Int, depth: Int, _ element: (_ row: Int, _ k: Int) -> Float) throws -> Buffer {
    let height = Self.tileRows
    let panels = (rows + height - 1) / height
    let packed = try allocate(panels * depth * height)
    let to = packed.floats
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

  /// All rows of packed A times one B panel [depth][16]; `store` gets each row's 16 sums.
  func multiplyPanel(
    _ packedA: Buffer, _ panel: UnsafePointer<Float>, rows: Int, depth: Int,
    _ store: (_ row: Int, _ values: UnsafePointer<Float>) -> Void
  ) {
    let height = Self.tileRows
    let b = UnsafeRawPointer(panel)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 64) { tile in
      let tile = UnsafeMutableRawPointer(tile.baseAddress!)
      for first in stride(from: 0, to: rows, by: height) {
        let a = packedA.floats + first / height * depth * height
        var (s00, s01, s10, s11) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
        var (s20, s21, s30, s31) = (Lanes.zero, Lanes.zero, Lanes.zero, Lanes.zero)
        for k in 0..<depth {
          let left = b.loadUnaligned(fromByteOffset: k &* 64, as: Lanes.self)
          let right = b.loadUnaligned(fromByteOffset: k &* 64 &+ 32, as: Lanes.self)
          let at = a + k &* 4
          // Separate multiply and add: without build flags for the machine, a fused one would be a library call.
          s00 += left * at[0]
          s01 += right * at[0]
          s10 += left * at[1]
          s11 += right * at[1]
          s20 += left * at[2]
          s21 += right * at[2]
          s30 += left * at[3]
          s31 += right * at[3]
        }
        for (index, lanes) in [s00, s01, s10, s11, s20, s21, s30, s31].enumerated() {
          tile.storeBytes(of: lanes, toByteOffset: index * 32, as: Lanes.self)
        }
        let values = tile.assumingMemoryBound(to: Float.self)
        for r in 0..<min(height, rows - first) { store(first + r, values + r * 16) }
      }
    }
  }
}
