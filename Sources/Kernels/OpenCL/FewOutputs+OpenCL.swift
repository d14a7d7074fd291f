/// Convolutions for GPUs (section `few` of kernels.cl) that have too few outputs for a tile.
extension OpenCLDevice {
  private static let kernel = "conv2d_few"

  /// Whether a convolution is one. By its weight alone: an image comes out the same whatever shares its batch.
  func hasFewOutputs(_ g: Conv2dGeometry) -> Bool {
    g.outChannels <= 4 && g.channels >= 16 && g.kernelHeight == 7 && g.kernelWidth == 7 && g.stride == 1
      && g.dilation == 1
  }

  func convolutionOfFewOutputs(_ x: Buffer, _ w: WeightView, _ epilogue: Epilogue, _ y: Buffer, _ g: Conv2dGeometry)
    throws
  {
    while try shrinkTiles(for: .few, Self.kernel) {}
    let (width, rows, slices) = (32, 4, parameters.tileItems / 32)
    try launch(
      .few, Self.kernel, .tiles([width, slices, 1]),
      global: [
        (g.outWidth + width - 1) / width * width, (g.outHeight + rows - 1) / rows * slices, g.batch,
      ],
      ending: [
        .buffer(x), .buffer(w.buffer), .buffer(y), .structure(g), .uint(w.rowStride), .uint(w.channelStride),
        .uint(w.flipped ? 1 : 0),
      ] + epilogue.arguments(unread: y))
  }
}
