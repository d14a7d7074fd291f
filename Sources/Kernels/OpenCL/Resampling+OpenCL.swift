extension OpenCLDevice: ResamplingKernels {
  package func resize(_ x: Buffer, into y: Buffer, _ g: ResizeGeometry) throws {
    // Rows first: whole vectors of columns, and fewer rows are left for the other axis where the image shrinks.
    let between = g.width == g.outWidth ? y : try allocate(g.planes * g.outHeight * g.width)
    try rows("resize_rows", x, between, g, rows: g.outHeight)
    if g.width != g.outWidth {
      try columns("resize_columns", between, y, g, rows: g.planes * g.outHeight, count: g.outWidth)
    }
  }

  package func resizeGradient(_ dy: Buffer, into dx: Buffer, _ g: ResizeGeometry) throws {
    var between = dy
    if g.width != g.outWidth {
      between = try allocate(g.planes * g.outHeight * g.width)
      try columns("resize_columns_gradient", dy, between, g, rows: g.planes * g.outHeight, count: g.width)
    }
    try rows("resize_rows_gradient", between, dx, g, rows: g.height)
  }

  private func rows(_ kernel: String, _ x: Buffer, _ y: Buffer, _ g: ResizeGeometry, rows: Int) throws {
    try launch(
      .resample, kernel, .rows, global: [(g.width + parameters.run - 1) / parameters.run, rows, g.planes],
      .buffer(x), .buffer(y), .uint(g.planes), .uint(g.height), .uint(g.width), .uint(g.outHeight),
      .uint(g.mode.rawValue), .float(g.scales.y))
  }

  private func columns(_ kernel: String, _ x: Buffer, _ y: Buffer, _ g: ResizeGeometry, rows: Int, count: Int) throws {
    try launch(
      .resample, kernel, .elements, global: [count, (rows + parameters.run - 1) / parameters.run], .buffer(x),
      .buffer(y), .uint(rows), .uint(g.width),
      .uint(g.outWidth), .uint(g.mode.rawValue), .float(g.scales.x))
  }
}
