/// What a back end provides for `Tensor/Movement.swift`.
public protocol MovementKernels {
  /// y[yOffset + index . strides[1]] = x[xOffset + index . strides[0]] for every index of the layout.
  func copy(_ x: Buffer, into y: Buffer, layout: StridedLayout, xOffset: Int, yOffset: Int) throws
  /// y = x in IEEE 754 halves, two an element of y; `count` elements of x.
  func packHalves(_ x: Buffer, into y: Buffer, count: Int) throws
  /// The reverse of `packHalves`; `count` elements of y.
  func unpackHalves(_ x: Buffer, into y: Buffer, count: Int) throws
  /// y = x + cases, `planes` of height x width and of side x side, the latter spread as in `Tensor.adding(spread:)`.
  func addSpread(_ x: Buffer, _ cases: Buffer, into y: Buffer, planes: Int, height: Int, width: Int, side: Int) throws
  /// y[r, :] = x[indices[r], :] for rows of `width` elements; `indices` holds 32-bit integers.
  func gatherRows(_ x: Buffer, indices: Buffer, into y: Buffer, rows: Int, width: Int) throws
  /// dx[s, :] = sum of dy[order[r], :] over starts[s] ..< starts[s + 1]; both hold 32-bit integers.
  func gatherRowsGradient(
    _ dy: Buffer, order: Buffer, starts: Buffer, into dx: Buffer, sourceRows: Int, width: Int) throws
}
