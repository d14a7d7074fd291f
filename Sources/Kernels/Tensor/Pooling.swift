extension Tensor {
  /// The largest element of each window of images [N, C, H, W]; of equal ones the first gets the gradient.
  /// - Parameters:
  ///   - size: of a window, both ways.
  ///   - stride: from one window to the next; `size` by default.
  ///   - padding: rows and columns at each edge that are no elements.
  ///   - ceilMode: windows that start inside the padded image but end beyond it count too, as in PyTorch.
  public func maxPooled(size: Int, stride: Int? = nil, padding: Int = 0, ceilMode: Bool = false) throws -> Tensor {
    let geometry = try poolGeometry("max pool", size, stride ?? size, padding, ceilMode)
    return try selected("max pool", geometry, device.maxPool)
  }

  /// The median of the window of `size` x `size` pixels, an odd number, around each pixel of images [N, C, H, W], which is cut at
  /// the border; of an even count the lower one. The first of equal ones gets the gradient.
  public func medianPooled(size: Int) throws -> Tensor {
    let geometry = try poolGeometry("median pool", size, 1, size / 2, false)
    guard size % 2 == 1 else { throw KernelsError.shape(operation: "median pool", "the size \(size) is not odd") }
    return try selected("median pool", geometry, device.medianPool)
  }

  /// One element of each window, and the way of its gradient.
  private func selected(
    _ operation: String, _ geometry: PoolGeometry,
    _ select: (Buffer, _ into: Buffer, _ winners: Buffer?, PoolGeometry) throws -> Void
  ) throws -> Tensor {
    let target = [shape[0], shape[1], geometry.outHeight, geometry.outWidth]
    let output = try device.allocate(target.elementCount)
    let winners = isTracked ? try device.allocate(target.elementCount) : nil
    try select(buffer, output, winners, geometry)
    return Tensor(shape: target, device: device, buffer: output).recorded(operation, [self]) { [shape] g, _ in
      [try g.maxPoolGradient(winners!, geometry, shape)]
    }
  }

  private func maxPoolGradient(_ winners: Buffer, _ geometry: PoolGeometry, _ target: Shape) throws -> Tensor {
    let output = try device.allocate(target.elementCount)
    try device.maxPoolGradient(buffer, winners: winners, into: output, geometry)
    return Tensor(shape: target, device: device, buffer: output).recorded("max pool gradient", [self]) {
      [shape] h, _ in [try h.maxPoolGather(winners, geometry, shape)]
    }
  }

  private func maxPoolGather(_ winners: Buffer, _ geometry: PoolGeometry, _ target: Shape) throws -> Tensor {
    let output = try device.allocate(target.elementCount)
    try device.maxPoolGather(buffer, winners: winners, into: output, geometry)
    return Tensor(shape: target, device: device, buffer: output).recorded("max pool gather", [self]) { [shape] g, _ in
      [try g.maxPoolGradient(winners, geometry, shape)]
    }
  }

  /// The mean of each window, zero padding counted in it, as PyTorch's default.
  public func averagePooled(size: Int, stride: Int? = nil, padding: Int = 0, ceilMode: Bool = false) throws -> Tensor {
    let geometry = try poolGeometry("average pool", size, stride ?? size, padding, ceilMode)
    if geometry.stride == size, padding == 0, shape[2] % size == 0, shape[3] % size == 0 {
      return try blockSums(side: size, scale: 1 / Float(size * size))
    }
    return try averagePool(geometry, [shape[0], shape[1], geometry.outHeight, geometry.outWidth])
  }

  private func averagePool(_ geometry: PoolGeometry, _ target: Shape) throws -> Tensor {
    let output = try device.allocate(target.elementCount)
    try device.averagePool(buffer, into: output, geometry)
    return Tensor(shape: target, device: device, buffer: output).recorded("average pool", [self]) { [shape] g, _ in
      [try g.averagePoolGradient(geometry, shape)]
    }
  }

  private func averagePoolGradient(_ geometry: PoolGeometry, _ target: Shape) throws -> Tensor {
    let output = try device.allocate(target.elementCount)
    try device.averagePoolGradient(buffer, into: output, geometry)
    return Tensor(shape: target, device: device, buffer: output).recorded("average pool gradient", [self]) {
      [shape] h, _ in [try h.averagePool(geometry, shape)]
    }
  }

  private func poolGeometry(_ operation: String, _ size: Int, _ stride: Int, _ padding: Int, _ ceilMode: Bool) throws
    -> PoolGeometry
  {
    guard rank == 4, (1...largestExtent).contains(size), (1...largestExtent).contains(stride), padding >= 0,
      padding <= size / 2,
      shape[2] + 2 * padding >= size || ceilMode, shape[3] + 2 * padding >= size || ceilMode
    else {
      throw KernelsError.shape(
        operation: operation, "windows of \(size) by stride \(stride) and padding \(padding) do not fit \(shape)")
    }
    func extent(_ input: Int) -> Int {
      let span = input + 2 * padding - size
      guard ceilMode else { return span / stride + 1 }
      let count = (Swift.max(span, 0) + stride - 1) / stride + 1
      // A window must start inside the image or its left padding.
      return (count - 1) * stride >= input + padding ? count - 1 : count
    }
    return PoolGeometry(
      planes: shape[0] * shape[1], height: shape[2], width: shape[3], outHeight: extent(shape[2]),
      outWidth: extent(shape[3]), size: size, stride: stride, padding: padding)
  }
}
