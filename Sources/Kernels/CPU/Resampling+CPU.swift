extension CPUDevice: ResamplingKernels {
  package func resize(_ x: Buffer, into y: Buffer, _ g: ResizeGeometry) throws {
    let (x, y) = try (x.floats, y.floats)
    let rows = sources(g.mode, g.height, g.outHeight, g.scales.y)
    let columns = sources(g.mode, g.width, g.outWidth, g.scales.x)
    parallel(g.planes * g.outHeight, grain: max(1, 1024 / g.outWidth)) { range in
      for at in range {
        let from = x + at / g.outHeight * g.height * g.width
        let row = rows[at % g.outHeight]
        for (ox, column) in columns.enumerated() {
          var sum: Float = 0
          for i in 0..<row.count {
            var line: Float = 0
            for j in 0..<column.count {
              line += from[(row.first &+ i) &* g.width &+ column.first &+ j] * column.weight(j)
            }
            sum += line * row.weight(i)
          }
          y[at * g.outWidth + ox] = sum
        }
      }
    }
  }

  package func resizeGradient(_ dy: Buffer, into dx: Buffer, _ g: ResizeGeometry) throws {
    let (dy, dx) = try (dy.floats, dx.floats)
    let rows = sources(g.mode, g.height, g.outHeight, g.scales.y)
    let columns = sources(g.mode, g.width, g.outWidth, g.scales.x)
    let area = g.height * g.width
    // Outputs scatter within their plane; a plane belongs to one task.
    parallel(g.planes) { planes in
      for plane in planes {
        let to = dx + plane * area
        to.update(repeating: 0, count: area)
        for (oy, row) in rows.enumerated() {
          for (ox, column) in columns.enumerated() {
            let value = dy[(plane &* g.outHeight &+ oy) &* g.outWidth &+ ox]
            for i in 0..<row.count {
              for j in 0..<column.count {
                to[(row.first &+ i) &* g.width &+ column.first &+ j] += value * row.weight(i) * column.weight(j)
              }
            }
          }
        }
      }
    }
  }

  /// What one output index reads along an axis.
  private struct Source {
    var first: Int
    var count = 1
    /// The weights of the pixels it reads.
    var kind: Weights

    enum Weights {
      /// All the same.
      case equal
      /// Of two pixels, this is the second's.
      case fraction(Float)
      /// Under a triangle around `center`, `norm` high, that reaches so far either way.
      case triangle(center: Float, reach: Float, norm: Float)
    }

    func weight(_ i: Int) -> Float {
      switch kind {
      case .equal: return 1 / Float(count)
      case .fraction(let fraction): return i == 0 ? 1 - fraction : fraction
      case .triangle(let center, let reach, let norm):
        return norm * max(0, 1 - abs(Float(first + i) - center) / reach)
      }
    }
  }

  private func sources(_ mode: ResizeMode, _ input: Int, _ output: Int, _ scale: Float) -> [Source] {
    (0..<output).map { o in
      switch mode {
      case .nearest:
        return Source(first: min(Int(Float(o) * scale), input - 1), kind: .equal)
      case .area:
        let first = o * input / output
        return Source(first: first, count: ((o + 1) * input + output - 1) / output - first, kind: .equal)
      case .antialiased:
        let (center, reach) = ((Float(o) + 0.5) * scale - 0.5, max(scale, 1))
        let first = min(Int(max(center - reach + 1, 0)), input - 1)
        let end = max(first + 1, min(Int(center + reach + 1), input))
        var source = Source(
          first: first, count: end - first, kind: .triangle(center: center, reach: reach, norm: 1))
        let sum = (0..<source.count).reduce(0) { $0 + source.weight($1) }
        source.kind = .triangle(center: center, reach: reach, norm: 1 / sum)
        return source
      case .bilinear, .bilinearAlignedCorners:
        let at = mode == .bilinear ? max((Float(o) + 0.5) * scale - 0.5, 0) : Float(o) * scale
        let first = min(Int(at), input - 1)
        return first + 1 < input
          ? Source(first: first, count: 2, kind: .fraction(at - Float(first))) : Source(first: first, kind: .equal)
      }
    }
  }
}
