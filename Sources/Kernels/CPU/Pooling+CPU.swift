extension CPUDevice: PoolingKernels {
  package func maxPool(_ x: Buffer, into y: Buffer, winners: Buffer?, _ g: PoolGeometry) throws {
    let (x, y, winners) = try (x.floats, y.floats, winners?.indices)
    forEachWindow(g) { plane, at, rows, columns in
      let from = x + plane * g.height * g.width
      var best = -Float.infinity
      var winner = rows.lowerBound * g.width + columns.lowerBound
      for iy in rows {
        for ix in columns {
          let v = from[iy &* g.width &+ ix]
          if v > best || v.isNaN { (best, winner) = (v, iy &* g.width &+ ix) }
        }
      }
      y[at] = best
      winners?[at] = UInt32(winner)
    }
  }

  package func maxPoolGradient(_ dy: Buffer, winners: Buffer, into dx: Buffer, _ g: PoolGeometry) throws {
    let (dy, dx, winners) = try (dy.floats, dx.floats, winners.indices)
    let (area, outArea) = (g.height * g.width, g.outHeight * g.outWidth)
    parallel(g.planes, grain: max(1, 4096 / area)) { planes in
      for plane in planes {
        let to = dx + plane * area
        to.update(repeating: 0, count: area)
        for at in plane * outArea..<(plane + 1) * outArea { to[Int(winners[at])] += dy[at] }
      }
    }
  }

  package func maxPoolGather(_ x: Buffer, winners: Buffer, into y: Buffer, _ g: PoolGeometry) throws {
    let (x, y, winners) = try (x.floats, y.floats, winners.indices)
    let outArea = g.outHeight * g.outWidth
    parallel(g.planes * outArea, grain: 4096) { range in
      for at in range { y[at] = x[at / outArea * g.height * g.width + Int(winners[at])] }
    }
  }

  package func medianPool(_ x: Buffer, into y: Buffer, winners: Buffer?, _ g: PoolGeometry) throws {
    let (x, y, winners) = try (x.floats, y.floats, winners?.indices)
    forEachWindow(g) { plane, at, rows, columns in
      let from = x + plane * g.height * g.width
      let places = rows.flatMap { row in columns.map { row * g.width + $0 } }
      let before = (places.count - 1) / 2
      let winner = places.first { place in
        let less = places.reduce(0) { $0 + (from[$1] < from[place] ? 1 : 0) }
        let equal = places.reduce(0) { $0 + (from[$1] == from[place] ? 1 : 0) }
        return less <= before && before < less + equal
      }
      y[at] = from[winner ?? places[0]]
      winners?[at] = UInt32(winner ?? places[0])
    }
  }

  package func averagePool(_ x: Buffer, into y: Buffer, _ g: PoolGeometry) throws {
    let (x, y) = try (x.floats, y.floats)
    forEachWindow(g) { plane, at, rows, columns in
      var sum: Float = 0
      for iy in rows {
        for ix in columns { sum += x[(plane &* g.height &+ iy) &* g.width &+ ix] }
      }
      y[at] = sum / divisor(g, at)
    }
  }

  package func averagePoolGradient(_ dy: Buffer, into dx: Buffer, _ g: PoolGeometry) throws {
    let (dy, dx) = try (dy.floats, dx.floats)
    let area = g.height * g.width
    dx.update(repeating: 0, count: g.planes * area)
    // Windows of a plane may overlap, but a plane belongs to one task.
    forEachWindow(g) { plane, at, rows, columns in
      let share = dy[at] / divisor(g, at)
      for iy in rows {
        for ix in columns { dx[(plane &* g.height &+ iy) &* g.width &+ ix] += share }
      }
    }
  }

  /// The elements a window's mean is over: padding counts, what ceil mode adds beyond it does not.
  private func divisor(_ g: PoolGeometry, _ at: Int) -> Float {
    let y0 = at / g.outWidth % g.outHeight * g.stride - g.padding
    let x0 = at % g.outWidth * g.stride - g.padding
    return Float((min(y0 + g.size, g.height + g.padding) - y0) * (min(x0 + g.size, g.width + g.padding) - x0))
  }

  /// Calls `body` for every window, whole planes a task: its plane, its place in the output, the pixels inside the image.
  private func forEachWindow(_ g: PoolGeometry, _ body: (Int, Int, Range<Int>, Range<Int>) -> Void) {
    parallel(g.planes) { planes in
      for plane in planes {
        for oy in 0..<g.outHeight {
          let top = oy * g.stride - g.padding
          for ox in 0..<g.outWidth {
            let left = ox * g.stride - g.padding
            body(
              plane, (plane * g.outHeight + oy) * g.outWidth + ox, max(0, top)..<min(g.height, top + g.size),
              max(0, left)..<min(g.width, left + g.size))
          }
        }
      }
    }
  }
}
