extension CPUDevice: ConvolutionKernels {
  public func conv2d(_ x: Buffer, _ w: Buffer, bias: Buffer?, into y: Buffer, _ g: Conv2dGeometry) throws {
    let (x, y, bias) = (x.floats, y.floats, bias?.floats)
    let (inputs, outputs) = (g.channels / g.groups, g.outChannels / g.groups)
    let depth = inputs * g.taps
    let width = Self.tileColumns
    let columns = g.batch * g.outArea
    let panels = (columns + width - 1) / width
    for group in 0..<g.groups {
      let packed = try w.derived("cpu rows \(group) of \(g.groups)", within: derivedBudget) {
        [w = w.floats + group * outputs * depth] in
        try packRows(rows: outputs, depth: depth) { row, k in w[row &* depth &+ k] }
      }
      parallel(panels) { range in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: depth * width) { panel in
          let panel = panel.baseAddress!
          for index in range {
            let first = index * width
            let count = min(width, columns - first)
            fillColumns(x, panel, g, firstChannel: group * inputs, channels: inputs, first: first, count: count)
            multiplyPanel(packed, panel, rows: outputs, depth: depth) { row, values in
              let channel = group &* outputs &+ row
              let offset = bias?[channel] ?? 0
              for j in 0..<count {
                let n = first &+ j
                y[(n / g.outArea &* g.outChannels &+ channel) &* g.outArea &+ n % g.outArea] = values[j] + offset
              }
            }
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

  public func conv2dInputGradient(
    _ dy: Buffer, _ w: Buffer, bias: Buffer?, into dx: Buffer, _ g: Conv2dGeometry
  ) throws {
    let (dy, w, dx, bias) = (dy.floats, w.floats, dx.floats, bias?.floats)
    let (inputs, outputs) = (g.channels / g.groups, g.outChannels / g.groups)
    let plane = g.height * g.width
    let width = Self.tileColumns
    let rows = inputs * g.taps
    let panels = (g.outArea + width - 1) / width
    for group in 0..<g.groups {
      // columns = w^T dy: row (ci, ky, kx), depth co.
      let packed = try packRows(rows: rows, depth: outputs) { row, k in w[(group * outputs &+ k) &* rows &+ row] }
      let columns = try allocate(rows * g.outArea)
      for image in 0..<g.batch {
        let source = dy + (image * g.outChannels + group * outputs) * g.outArea
        parallel(panels) { range in
          withUnsafeTemporaryAllocation(of: Float.self, capacity: outputs * width) { panel in
            let panel = panel.baseAddress!
            for index in range {
              let first = index * width
              let count = min(width, g.outArea - first)
              for k in 0..<outputs {
                for j in 0..<width { panel[k &* width &+ j] = j < count ? source[k &* g.outArea &+ first &+ j] : 0 }
              }
              multiplyPanel(packed, panel, rows: rows, depth: outputs) { row, values in
                (columns.floats + (row &* g.outArea &+ first)).update(from: values, count: count)
              }
            }
          }
        }
        // Each input channel is folded by one task, so no two write to the same element.
        parallel(inputs) { range in
          for ci in range {
            let channel = group * inputs + ci
            let to = dx + (image * g.channels + channel) * plane
            to.update(repeating: bias?[channel] ?? 0, count: plane)
            for ky in 0..<g.kernelHeight {
              for kx in 0..<g.kernelWidth {
                let from = columns.floats + ((ci * g.kernelHeight + ky) * g.kernelWidth + kx) * g.outArea
                for oy in 0..<g.outHeight {
                  let iy = oy * g.stride - g.padding + ky * g.dilation
                  guard iy >= 0, iy < g.height else { continue }
                  for ox in 0..<g.outWidth {
                    let ix = ox &* g.stride &- g.padding &+ kx &* g.dilation
                    if ix >= 0 && ix < g.width { to[iy &* g.width &+ ix] += from[oy &* g.outWidth &+ ox] }
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  public func conv2dWeightGradient(_ x: Buffer, _ dy: Buffer, into dw: Buffer, _ g: Conv2dGeometry) throws {
    let (x, dy, dw) = (x.floats, dy.floats, dw.floats)
    let (inputs, outputs) = (g.channels / g.groups, g.outChannels / g.groups)
    let columns = inputs * g.taps
    let width = Self.tileColumns
    let panels = (columns + width - 1) / width
    let plane = g.height * g.width
    for group in 0..<g.groups {
      dw.advanced(by: group * outputs * columns).update(repeating: 0, count: outputs * columns)
      for image in 0..<g.batch {
        // dw += dy . columns^T over this image: row co, depth (oy, ox).
        let source = dy + (image * g.outChannels + group * outputs) * g.outArea
        let packed = try packRows(rows: outputs, depth: g.outArea) { row, k in source[row &* g.outArea &+ k] }
        let base = x + (image * g.channels + group * inputs) * plane
        parallel(panels) { range in
          withUnsafeTemporaryAllocation(of: Float.self, capacity: g.outArea * width) { panel in
            let panel = panel.baseAddress!
            for index in range {
              let first = index * width
              let count = min(width, columns - first)
              for j in 0..<width {
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
                    to += width
                  }
                }
              }
              multiplyPanel(packed, panel, rows: outputs, depth: g.outArea) { row, values in
                let to = dw + ((group &* outputs &+ row) &* columns &+ first)
                for j in 0..<count { to[j] += values[j] }
              }
            }
          }
        }
      }
    }
  }
}
