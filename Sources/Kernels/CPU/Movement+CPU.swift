extension CPUDevice: MovementKernels {
  package func copy(_ x: Buffer, into y: Buffer, layout: StridedLayout, xOffset: Int, yOffset: Int) throws {
    let (x, y) = try (x.floats + xOffset, y.floats + yOffset)
    let width = layout.shape[3]
    let (stepX, stepY) = (layout.strides[0][3], layout.strides[1][3])
    parallel(layout.rows, grain: max(1, 4096 / width)) { rows in
      for row in rows {
        let (from, to) = (x + layout.offset(row, 0), y + layout.offset(row, 1))
        for i in 0..<width { to[i &* stepY] = from[i &* stepX] }
      }
    }
  }

  package func packHalves(_ x: Buffer, into y: Buffer, count: Int) throws {
    let (x, y) = try (x.floats, y.halves)
    parallel(count, grain: 1 << 14) { for i in $0 { y[i] = Float16(x[i]) } }
  }

  package func unpackHalves(_ x: Buffer, into y: Buffer, count: Int) throws {
    let (x, y) = try (x.halves, y.floats)
    parallel(count, grain: 1 << 14) { for i in $0 { y[i] = Float(x[i]) } }
  }

  package func addSpread(
    _ x: Buffer, _ cases: Buffer, into y: Buffer, planes: Int, height: Int, width: Int, side: Int
  ) throws {
    let (x, cases, y, middle) = try (x.floats, cases.floats, y.floats, side / 2)
    /// Which of the cases a row or column of an axis is.
    func of(_ i: Int, _ extent: Int) -> Int { i < middle ? i : (i + middle >= extent ? i + side - extent : middle) }
    parallel(planes * height, grain: max(1, 4096 / width)) { rows in
      for row in rows {
        let own = cases + (row / height * side + of(row % height, height)) * side
        for i in 0..<width { y[row * width + i] = x[row * width + i] + own[of(i, width)] }
      }
    }
  }

  package func gatherRows(_ x: Buffer, indices: Buffer, into y: Buffer, rows: Int, width: Int) throws {
    let (x, y, indices) = try (x.floats, y.floats, indices.indices)
    for row in 0..<rows { (y + row * width).update(from: x + Int(indices[row]) * width, count: width) }
  }

  package func gatherRowsGradient(
    _ dy: Buffer, order: Buffer, starts: Buffer, into dx: Buffer, sourceRows: Int, width: Int
  ) throws {
    let (dy, dx, order, starts) = try (dy.floats, dx.floats, order.indices, starts.indices)
    for row in 0..<sourceRows {
      let to = dx + row * width
      to.update(repeating: 0, count: width)
      for r in starts[row]..<starts[row + 1] {
        let from = dy + Int(order[Int(r)]) * width
        for i in 0..<width { to[i] += from[i] }
      }
    }
  }
}
