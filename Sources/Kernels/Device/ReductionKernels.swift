/// How elements are folded along an axis.
public enum ReductionOperation: String, Sendable { case sum, max }

/// What a back end provides for `Tensor/Reduction.swift`.
public protocol ReductionKernels {
  /// y[o, i] = reduction over r of x[o, r, i]; all extents at least 1.
  func reduce(_ operation: ReductionOperation, _ x: Buffer, into y: Buffer, outer: Int, length: Int, inner: Int) throws
}
