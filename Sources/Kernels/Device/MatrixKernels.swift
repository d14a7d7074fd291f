/// What a back end provides for `Tensor/Matrix.swift`.
public protocol MatrixKernels {
  /// C[rows, columns] = op(A) op(B), row-major, summing over `depth`; op transposes where its flag is set, so that a
  /// is [rows, depth] or [depth, rows] and b is [depth, columns] or [columns, depth].
  func multiply(
    _ a: Buffer, transposingA: Bool, _ b: Buffer, transposingB: Bool, into c: Buffer, rows: Int, columns: Int,
    depth: Int) throws
}
