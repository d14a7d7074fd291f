extension OpenCLDevice: ResamplingKernels {
  public func resize(_ x: Buffer, into y: Buffer, _ geometry: ResizeGeometry) throws {
    try launch("resize_forward", x, y, [geometry.outWidth, geometry.outHeight, geometry.planes], geometry)
  }

  public func resizeGradient(_ dy: Buffer, into dx: Buffer, _ geometry: ResizeGeometry) throws {
    try launch("resize_gradient", dy, dx, [geometry.width, geometry.height, geometry.planes], geometry)
  }

  private func launch(_ kernel: String, _ x: Buffer, _ y: Buffer, _ global: [Int], _ g: ResizeGeometry) throws {
    try launch(
      .resample, kernel, .elements, global: global, .buffer(x), .buffer(y), .uint(g.planes), .uint(g.height),
      .uint(g.width), .uint(g.outHeight), .uint(g.outWidth), .uint(g.mode.rawValue), .float(g.scales.y),
      .float(g.scales.x))
  }
}
