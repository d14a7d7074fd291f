/// Planes in blocks of `side` x `side` pixels that tile them.
public struct BlockGeometry: Sendable {
  /// Rows of blocks over all planes, blocks a row, and pixels a side of a block.
  public var rows: Int, width: Int, side: Int
}

/// What a back end provides for `Tensor/Blocks.swift`: two maps, each the other's adjoint.
public protocol BlockKernels {
  /// y[r, c] = scale * the sum of block (r, c) of x.
  func sumBlocks(_ x: Buffer, into y: Buffer, _ geometry: BlockGeometry, scale: Float) throws
  /// Every pixel of block (r, c) of y = scale * x[r, c].
  func spreadBlocks(_ x: Buffer, into y: Buffer, _ geometry: BlockGeometry, scale: Float) throws
}
