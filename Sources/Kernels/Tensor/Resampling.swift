extension Tensor {
  /// Images [N, C, H, W] at another size.
  public func resized(height: Int, width: Int, mode: ResizeMode = .bilinear) throws -> Tensor {
    guard rank == 4, (1...largestExtent).contains(height), (1...largestExtent).contains(width) else {
      throw KernelsError.shape(operation: "resize", "cannot resize \(shape) to \(height) x \(width)")
    }
    if shape[2] == height && shape[3] == width { return self }
    let (up, down) = (height / shape[2], shape[2] / height)
    if mode == .nearest, height == up * shape[2], width == up * shape[3] {
      return try spreadOverBlocks(side: up, scale: 1)
    }
    if mode == .area, shape[2] == down * height, shape[3] == down * width {
      return try blockSums(side: down, scale: 1 / Float(down * down))
    }
    return try resize(
      ResizeGeometry(
        planes: shape[0] * shape[1], height: shape[2], width: shape[3], outHeight: height, outWidth: width, mode: mode))
  }

  private func resize(_ geometry: ResizeGeometry) throws -> Tensor {
    let target = [shape[0], shape[1], geometry.outHeight, geometry.outWidth]
    let output = try device.allocate(target.elementCount)
    try device.resize(buffer, into: output, geometry)
    return Tensor(shape: target, device: device, buffer: output).recorded("resize", [self]) { g, _ in
      [try g.resizeGradient(geometry)]
    }
  }

  private func resizeGradient(_ geometry: ResizeGeometry) throws -> Tensor {
    let target = [shape[0], shape[1], geometry.height, geometry.width]
    let output = try device.allocate(target.elementCount)
    try device.resizeGradient(buffer, into: output, geometry)
    return Tensor(shape: target, device: device, buffer: output).recorded("resize gradient", [self]) { h, _ in
      [try h.resize(geometry)]
    }
  }
}
