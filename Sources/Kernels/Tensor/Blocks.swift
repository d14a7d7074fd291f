extension Tensor {
  /// Images [N, C, H, W] shrunk by a whole number that divides both sides: scaled sums of blocks.
  func blockSums(side: Int, scale: Float) throws -> Tensor {
    let target = [shape[0], shape[1], shape[2] / side, shape[3] / side]
    let geometry = BlockGeometry(rows: target[0] * target[1] * target[2], width: target[3], side: side)
    let output = try device.allocate(target.elementCount)
    try device.sumBlocks(buffer, into: output, geometry, scale: scale)
    return Tensor(shape: target, device: device, buffer: output).recorded("block sums", [self]) { g, _ in
      [try g.spreadOverBlocks(side: side, scale: scale)]
    }
  }

  /// Images enlarged by a whole number: each pixel, scaled, over a block.
  func spreadOverBlocks(side: Int, scale: Float) throws -> Tensor {
    let geometry = BlockGeometry(rows: shape[0] * shape[1] * shape[2], width: shape[3], side: side)
    let target = [shape[0], shape[1], shape[2] * side, shape[3] * side]
    let output = try device.allocate(target.elementCount)
    try device.spreadBlocks(buffer, into: output, geometry, scale: scale)
    return Tensor(shape: target, device: device, buffer: output).recorded("spread over blocks", [self]) { g, _ in
      [try g.blockSums(side: side, scale: scale)]
    }
  }
}
