extension OpenCLDevice: PoolingKernels {
  package func maxPool(_ x: Buffer, into y: Buffer, winners: Buffer?, _ g: PoolGeometry) throws {
    try launch(
      .pool, "max_pool", .rows,
      global: [(g.outWidth + parameters.run - 1) / parameters.run, g.outHeight, g.planes], .buffer(x), .buffer(y),
      .buffer(winners ?? y), .uint(g.planes), .uint(g.height), .uint(g.width), .uint(g.outHeight), .uint(g.outWidth),
      .uint(g.size), .uint(g.stride), .uint(g.padding), .uint(winners == nil ? 0 : 1))
  }

  package func maxPoolGradient(_ dy: Buffer, winners: Buffer, into dx: Buffer, _ g: PoolGeometry) throws {
    if isCPU, g.planes >= info.computeUnits {
      return try launch(
        .pool, "max_pool_scatter", .blocks, global: [g.planes], .buffer(dy), .buffer(winners), .buffer(dx),
        .uint(g.planes), .uint(g.height * g.width), .uint(g.outHeight * g.outWidth))
    }
    try launch(
      .pool, "max_pool_gradient", .elements, global: [g.width, g.height, g.planes], .buffer(dy), .buffer(winners),
      .buffer(dx), .uint(g.planes), .uint(g.height), .uint(g.width), .uint(g.outHeight), .uint(g.outWidth),
      .uint(g.size), .uint(g.stride), .uint(g.padding))
  }

  package func maxPoolGather(_ x: Buffer, winners: Buffer, into y: Buffer, _ g: PoolGeometry) throws {
    let outArea = g.outHeight * g.outWidth
    try launch(
      .pool, "max_pool_gather", .elements, global: [outArea, g.planes], .buffer(x), .buffer(winners), .buffer(y),
      .uint(g.planes), .uint(g.height * g.width), .uint(outArea))
  }

  package func medianPool(_ x: Buffer, into y: Buffer, winners: Buffer?, _ g: PoolGeometry) throws {
    try launch(
      .pool, "median_pool", .elements, global: [g.width, g.height, g.planes], .buffer(x), .buffer(y),
      .buffer(winners ?? y), .uint(g.planes), .uint(g.height), .uint(g.width), .uint(g.size),
      .uint(winners == nil ? 0 : 1))
  }

  package func averagePool(_ x: Buffer, into y: Buffer, _ g: PoolGeometry) throws {
    try average("average_pool", x, y, [g.outWidth, g.outHeight, g.planes], g)
  }

  package func averagePoolGradient(_ dy: Buffer, into dx: Buffer, _ g: PoolGeometry) throws {
    try average("average_pool_gradient", dy, dx, [g.width, g.height, g.planes], g)
  }

  private func average(_ kernel: String, _ x: Buffer, _ y: Buffer, _ global: [Int], _ g: PoolGeometry) throws {
    try launch(
      .pool, kernel, .elements, global: global, .buffer(x), .buffer(y), .uint(g.planes), .uint(g.height),
      .uint(g.width), .uint(g.outHeight), .uint(g.outWidth), .uint(g.size), .uint(g.stride), .uint(g.padding))
  }
}
