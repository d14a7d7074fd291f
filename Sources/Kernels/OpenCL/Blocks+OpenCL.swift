extension OpenCLDevice: BlockKernels {
  package func sumBlocks(_ x: Buffer, into y: Buffer, _ geometry: BlockGeometry, scale: Float) throws {
    try launch("block_sum", x, y, geometry, scale)
  }

  package func spreadBlocks(_ x: Buffer, into y: Buffer, _ geometry: BlockGeometry, scale: Float) throws {
    try launch("block_spread", x, y, geometry, scale)
  }

  private func launch(_ kernel: String, _ x: Buffer, _ y: Buffer, _ g: BlockGeometry, _ scale: Float) throws {
    // BLOCKS of kernels.cl.
    let blocks = (parameters.run + 1) / 2
    try launch(
      .blocks, kernel, .rows, global: [(g.width + blocks - 1) / blocks, g.rows], .buffer(x), .buffer(y),
      .uint(g.rows), .uint(g.width), .uint(g.side), .float(scale))
  }
}
