extension CPUDevice: BlockKernels {
  package func sumBlocks(_ x: Buffer, into y: Buffer, _ g: BlockGeometry, scale: Float) throws {
    let (x, y) = try (x.floats, y.floats)
    parallel(g.rows, grain: max(1, 4096 / g.width)) { rows in
      for row in rows {
        for column in 0..<g.width {
          var sum: Float = 0
          for i in 0..<g.side {
            for k in 0..<g.side { sum += x[((row * g.side + i) * g.width + column) * g.side + k] }
          }
          y[row * g.width + column] = sum * scale
        }
      }
    }
  }

  package func spreadBlocks(_ x: Buffer, into y: Buffer, _ g: BlockGeometry, scale: Float) throws {
    let (x, y) = try (x.floats, y.floats)
    parallel(g.rows, grain: max(1, 4096 / g.width)) { rows in
      for row in rows {
        for i in 0..<g.side {
          for column in 0..<g.width {
            let value = x[row * g.width + column] * scale
            for k in 0..<g.side { y[((row * g.side + i) * g.width + column) * g.side + k] = value }
          }
        }
      }
    }
  }
}
