extension CPUDevice: ConvolutionKernels {
  package func conv2d(
    _ x: Buffer, _ w: Buffer, bias: Buffer?, _ rectifier: Rectifier, into y: Buffer, _ g: Conv2dGeometry
  ) throws {
    let depth = g.channels / g.groups * g.taps
    try convolve(x, w, "rows", bias, rectifier, y, g) { from, row, k in from[row &* depth &+ k] }
  }

  /// im2col by panels, times the rows that `weight` reads: (the group's weights, output channel, (ci, ky, kx)).
  private func convolve(
    _ x: Buffer, _ w: Buffer, _ form: String, _ bias: Buffer?, _ rectifier: Rectifier, _ y: Buffer,
    _ g: Conv2dGeometry,
    weight: (UnsafePointer<Float>, Int, Int) -> Float
  ) throws {
    let (x, y, bias) = try (x.floats, y.floats, bias?.floats)
    var (one, slopes) = (Float(1), UnsafeMutablePointer<Float>?.none)
    switch rectifier {
    case .leaky(let slope): one = slope
    case .channels(let all): slopes = try all.floats
    }
    func slope(_ channel: Int) -> Float { slopes?[channel] ?? one }
    let (inputs, outputs) = (g.channels / g.groups, g.outChannels / g.groups)
    let depth = inputs * g.taps
    for group in 0..<g.groups {
      let packed = try w.derived("cpu \(form) \(group) of \(g.groups)", within: derivedBudget) {
        [w = UnsafePointer(try w.floats + group * outputs * depth)] in
        try packRows(rows: outputs, depth: depth) { row, k in weight(w, row, k) }
      }
      try multiply(packed, rows: outputs, columns: g.batch * g.outArea, depth: depth) { panel, first, count in
        fillColumns(x, panel, g, firstChannel: group * inputs, channels: inputs, first: first, count: count)
      } store: { row, first, values, count in
        let channel = group &* outputs &+ row
        let offset = bias?[channel] ?? 0
        let slope = slope(channel)
        func rectified(_ value: Float) -> Float { value < 0 ? slope * value : value }
        let (image, pixel) = (first / g.outArea, first % g.outArea)
        if pixel + count <= g.outArea {
          let to = y + ((image &* g.outChannels &+ channel) &* g.outArea &+ pixel)
          for j in 0..<count { to[j] = rectified(values[j] + offset) }
        } else {
          for j in 0..<count {
            let n = first &+ j
            y[(n / g.outArea &* g.outChannels &+ channel) &* g.outArea &+ n % g.outArea] = rectified(values[j] + offset)
          }
        }
      }
    }
  }

  /// im2col for 16 columns n = (image, oy, ox) from `first`: panel[(ci, ky, kx)][j], zero outside the image.
  private func fillColumns(
    _ x: UnsafePointer<Float>, _ panel: UnsafeMutablePointer<Float>, _ g: Conv2dGeometry, firstChannel: Int,
    channels: Int, first: Int, count: Int
  ) {
    let width = Self.tileColumns
    if count == width, first % g.outWidth + width <= g.outWidth {
      return fillRowColumns(x, panel, g, firstChannel: firstChannel, channels: channels, first: first)
    }
    let plane = g.height * g.width
    for j in 0..<width {
      let n = first &+ min(j, count - 1)
      let pixel = n % g.outArea
      let y0 = pixel / g.outWidth &* g.stride &- g.padding
      let x0 = pixel % g.outWidth &* g.stride &- g.padding
      let image = x + (n / g.outArea &* g.channels &+ firstChannel) &* plane
      var to = panel + j
      for ci in 0..<channels {
        for ky in 0..<g.kernelHeight {
          let iy = y0 &+ ky &* g.dilation
          let row = image + (ci &* plane &+ iy &* g.width)
          let insideY = iy >= 0 && iy < g.height && j < count
          for kx in 0..<g.kernelWidth {
            let ix = x0 &+ kx &* g.dilation
            to.pointee = insideY && ix >= 0 && ix < g.width ? row[ix] : 0
            to += width
          }
        }
      }
    }
  }

  /// The same for columns of one row of outputs: whole runs of a row of the image.
  private func fillRowColumns(
    _ x: UnsafePointer<Float>, _ panel: UnsafeMutablePointer<Float>, _ g: Conv2dGeometry, firstChannel: Int,
    channels: Int, first: Int
  ) {
    let width = Self.tileColumns
    let plane = g.height * g.width
    let y0 = first % g.outArea / g.outWidth &* g.stride &- g.padding
    let x0 = first % g.outWidth &* g.stride &- g.padding
    let image = x + (first / g.outArea &* g.channels &+ firstChannel) &* plane
    var to = panel
    for ci in 0..<channels {
      for ky in 0..<g.kernelHeight {
        let iy = y0 &+ ky &* g.dilation
        let row = image + (ci &* plane &+ iy &* g.width)
        for kx in 0..<g.kernelWidth {
          let left = x0 &+ kx &* g.dilation
          if iy < 0 || iy >= g.height {
            to.update(repeating: 0, count: width)
          } else if left >= 0 && left &+ (width &- 1) &* g.stride < g.width {
            let from = row + left
            if g.stride == 1 {
              to.update(from: from, count: width)
            } else {
              for j in 0..<width { to[j] = from[j &* g.stride] }
            }
          } else {
            for j in 0..<width {
              let ix = left &+ j &* g.stride
              to[j] = ix >= 0 && ix < g.width ? row[ix] : 0
            }
          }
          to += width
        }
      }
    }
  }

  package func conv2dInputGradient(
    _ dy: Buffer, _ w: Buffer, bias: Buffer?, into dx: Buffer, _ g: Conv2dGeometry
  ) throws {
    if let mirrored = g.mirrored {
      // A convolution with the flipped weights, output and input channels swapped.
      return try convolve(dy, w, "flipped", bias, .none, dx, mirrored) { from, row, k in
        from[(k / g.taps &* g.channels &+ row) &* g.taps &+ (g.taps &- 1 &- k % g.taps)]
      }
    }
    let (dy, w, dx, bias) = try (dy.floats, w.floats, dx.floats, bias?.floats)
    let (inputs, outputs) = (g.channels / g.groups, g.outChannels / g.groups)
    let plane = g.height * g.width
    let rows = inputs * g.taps
    for group in 0..<g.groups {
      // columns = w^T dy: row (ci, ky, kx), depth co.
      let packed = try packRows(rows: rows, depth: outputs) { row, k in w[(group * outputs &+ k) &* rows &+ row] }
      let scratch = try allocate(rows * g.outArea)
      defer { withExtendedLifetime(scratch) {} }
      let columns = try scratch.floats
      for image in 0..<g.batch {
        let source = dy + (image * g.outChannels + group * outputs) * g.outArea
        try multiply(packed, rows: rows, columns: g.outArea, depth: outputs) { panel, first, count in
          for k in 0..<outputs {
            let (to, from) = (panel + k &* Self.tileColumns, source + (k &* g.outArea &+ first))
            to.update(from: from, count: count)
            for j in count..<Self.tileColumns { to[j] = 0 }
          }
        } store: { row, first, values, count in
          (columns + (row &* g.outArea &+ first)).update(from: values, count: count)
        }
        // Each input channel is folded by one task, so no two write to the same element.
        parallel(inputs) { range in
          for ci in range {
            let channel = group * inputs + ci
            let to = dx + (image * g.channels + channel) * plane
            to.update(repeating: bias?[channel] ?? 0, count: plane)
            for ky in 0..<g.kernelHeight {
              for kx in 0..<g.kernelWidth {
                let from = columns + ((ci * g.kernelHeight + ky) * g.kernelWidth + kx) * g.outArea
                for oy in 0..<g.outHeight {
                  let iy = oy * g.stride - g.padding + ky * g.dilation
                  guard iy >= 0, iy < g.height else { continue }
                  // The ox whose ix = ox * stride + shift lies inside the row.
                  let shift = kx * g.dilation - g.padding
                  let firstX = shift >= 0 ? 0 : (-shift + g.stride - 1) / g.stride
                  let lastX = min(g.outWidth - 1, (g.width - 1 - shift) / g.stride)
                  guard g.width > shift, firstX <= lastX else { continue }
                  let (row, source) = (to + (iy * g.width + shift), from + oy * g.outWidth)
                  for ox in firstX...lastX { row[ox &* g.stride] += source[ox] }
                }
              }
            }
          }
        }
      }
    }
  }

  package func conv2dWeightGradient(_ x: Buffer, _ dy: Buffer, into dw: Buffer, _ g: Conv2dGeometry) throws {
    let (x, dy, dw) = try (x.floats, dy.floats, dw.floats)
    let (inputs, outputs) = (g.channels / g.groups, g.outChannels / g.groups)
    let columns = inputs * g.taps
    let plane = g.height * g.width
    for group in 0..<g.groups {
      dw.advanced(by: group * outputs * columns).update(repeating: 0, count: outputs * columns)
      for image in 0..<g.batch {
        // dw += dy . columns^T over this image: row co, depth (oy, ox).
        let source = dy + (image * g.outChannels + group * outputs) * g.outArea
        let packed = try packRows(rows: outputs, depth: g.outArea) { row, k in source[row &* g.outArea &+ k] }
        let base = x + (image * g.channels + group * inputs) * plane
        try multiply(packed, rows: outputs, columns: columns, depth: g.outArea) { panel, first, count in
          for j in 0..<Self.tileColumns {
            let n = first &+ min(j, count - 1)
            let from = base + n / g.taps &* plane
            let dyTap = n % g.taps / g.kernelWidth &* g.dilation &- g.padding
            let dxTap = n % g.taps % g.kernelWidth &* g.dilation &- g.padding
            var to = panel + j
            for oy in 0..<g.outHeight {
              let iy = oy &* g.stride &+ dyTap
              let inside = iy >= 0 && iy < g.height && j < count
              for ox in 0..<g.outWidth {
                let ix = ox &* g.stride &+ dxTap
                to.pointee = inside && ix >= 0 && ix < g.width ? from[iy &* g.width &+ ix] : 0
                to += Self.tileColumns
              }
            }
          }
        } store: { row, first, values, count in
          let to = dw + ((group &* outputs &+ row) &* columns &+ first)
          for j in 0..<count { to[j] += values[j] }
        }
      }
    }
  }
}
