extension CPUDevice: ReductionKernels {
  package func reduce(_ operation: ReductionOperation, _ x: Buffer, into y: Buffer, outer: Int, length: Int, inner: Int)
    throws
  {
    switch operation {
    case .sum: try fold(x, y, outer, length, inner, identity: 0, { $0 + $1 }, { ($0 + $1) }, { $0.sum() })
    case .max:
      try fold(
        x, y, outer, length, inner, identity: -.infinity, { $0 > $1 ? $0 : $1 },
        { a, b in a.replacing(with: b, where: a .< b) }, { $0.max() })
    }
  }

  private func fold(
    _ x: Buffer, _ y: Buffer, _ outer: Int, _ length: Int, _ inner: Int, identity: Float,
    _ combine: (Float, Float) -> Float, _ combine8: (SIMD8<Float>, SIMD8<Float>) -> SIMD8<Float>,
    _ fold8: (SIMD8<Float>) -> Float
  ) throws {
    let (x, y) = try (x.floats, y.floats)
    func foldRow(_ from: UnsafeMutablePointer<Float>, _ count: Int) -> Float {
      var lanes = SIMD8<Float>(repeating: identity)
      let whole = count / 8 * 8
      for i in stride(from: 0, to: whole, by: 8) {
        lanes = combine8(lanes, UnsafeRawPointer(from + i).loadUnaligned(as: SIMD8<Float>.self))
      }
      var sum = fold8(lanes)
      for i in whole..<count { sum = combine(sum, from[i]) }
      return sum
    }
    if inner > 1 {
      parallel(outer * inner, grain: max(1, 4096 / length)) { range in
        for at in range {
          let from = x + at / inner * length * inner + at % inner
          var sum = identity
          for r in 0..<length { sum = combine(sum, from[r &* inner]) }
          y[at] = sum
        }
      }
    } else if outer >= 8 || length < 1 << 16 {
      parallel(outer, grain: max(1, 4096 / length)) { rows in
        for row in rows { y[row] = foldRow(x + row * length, length) }
      }
    } else {
      // Few long rows: chunks of fixed length side by side, then the chunks, so that the core count does not matter.
      let chunk = 8192
      let chunks = (length + chunk - 1) / chunk
      for row in 0..<outer {
        var partial = [Float](repeating: identity, count: chunks)
        partial.withUnsafeMutableBufferPointer { partial in
          let partial = partial.baseAddress!
          parallel(chunks) { range in
            for i in range { partial[i] = foldRow(x + row * length + i * chunk, min(chunk, length - i * chunk)) }
          }
          y[row] = foldRow(partial, chunks)
        }
      }
    }
  }
}
