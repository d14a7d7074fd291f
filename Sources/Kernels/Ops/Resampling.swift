/// How a resize reads its source.
public enum ResizeMode: Int {
  /// The pixel at floor(o * input / output).
  case nearest = 0
  /// Two-point interpolation between pixel centres (PyTorch's align_corners=False).
  case bilinear = 1
  /// Two-point interpolation, first and last pixels meeting (align_corners=True).
  case bilinearAlignedCorners = 2
  /// The mean of the pixels each output pixel covers (adaptive average pooling).
  case area = 3
}

/// The extents of a resize over `planes` planes (batch times channels).
public struct ResizeGeometry {
  public var planes: Int, height: Int, width: Int, outHeight: Int, outWidth: Int
  public var mode: ResizeMode

  /// Source pixels an output pixel, along y and x.
  var scales: (y: Float, x: Float) {
    func scale(_ input: Int, _ output: Int) -> Float {
      guard mode == .bilinearAlignedCorners else { return Float(input) / Float(output) }
      return output > 1 ? Float(input - 1) / Float(output - 1) : 0
    }
    return (scale(height, outHeight), scale(width, outWidth))
  }
}

/// What a back end provides for this file.
public protocol ResamplingKernels {
  func resize(_ x: Buffer, into y: Buffer, _ geometry: ResizeGeometry) throws
  /// The adjoint of `resize`, under the same geometry.
  func resizeGradient(_ dy: Buffer, into dx: Buffer, _ geometry: ResizeGeometry) throws
}

extension Tensor {
  /// Images [N, C, H, W] at another size.
  public func resized(height: Int, width: Int, mode: ResizeMode = .bilinear) throws -> Tensor {
    guard rank == 4, height > 0, width > 0 else {
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
