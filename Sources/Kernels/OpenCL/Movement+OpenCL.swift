extension OpenCLDevice: MovementKernels {
  package func copy(_ x: Buffer, into y: Buffer, layout: StridedLayout, xOffset: Int, yOffset: Int) throws {
    try launch(
      .movement, "strided_copy", .rows,
      global: [(layout.shape[3] + parameters.run - 1) / parameters.run, layout.rows], .buffer(x), .buffer(y),
      .uint4(layout.shape), .uint4(layout.strides[0]), .uint4(layout.strides[1]), .uint(xOffset), .uint(yOffset))
  }

  package func packHalves(_ x: Buffer, into y: Buffer, count: Int) throws {
    try convert("pack_halves", x, y, count)
  }

  package func unpackHalves(_ x: Buffer, into y: Buffer, count: Int) throws {
    try convert("unpack_halves", x, y, count)
  }

  private func convert(_ kernel: String, _ x: Buffer, _ y: Buffer, _ count: Int) throws {
    try launch(.movement, kernel, .elements, global: [(count + 7) / 8], .buffer(x), .buffer(y), .uint(count))
  }

  package func addSpread(
    _ x: Buffer, _ cases: Buffer, into y: Buffer, planes: Int, height: Int, width: Int, side: Int
  ) throws {
    try launch(
      .movement, "add_spread", .rows, global: [(width + parameters.run - 1) / parameters.run, height, planes],
      .buffer(x), .buffer(cases), .buffer(y), .uint(planes), .uint(height), .uint(width), .uint(side))
  }

  package func gatherRows(_ x: Buffer, indices: Buffer, into y: Buffer, rows: Int, width: Int) throws {
    try launch(
      .movement, "gather_rows", .elements, global: [width, rows], .buffer(x), .buffer(indices), .buffer(y),
      .uint(rows), .uint(width))
  }

  package func gatherRowsGradient(
    _ dy: Buffer, order: Buffer, starts: Buffer, into dx: Buffer, sourceRows: Int, width: Int
  ) throws {
    try launch(
      .movement, "gather_rows_gradient", .elements, global: [width, sourceRows], .buffer(dy), .buffer(order),
      .buffer(starts), .buffer(dx), .uint(sourceRows), .uint(width))
  }
}
