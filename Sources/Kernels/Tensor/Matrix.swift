extension Tensor {
  /// The product [rows, columns] of two matrices [rows, depth] and [depth, columns], either one transposed first if asked.
  public func matrixMultiplied(by other: Tensor, transposingSelf: Bool = false, transposingOther: Bool = false) throws
    -> Tensor
  {
    try requireSameDevice(as: other, for: "matrix multiply")
    guard rank == 2, other.rank == 2 else {
      throw KernelsError.shape(operation: "matrix multiply", "needs two matrices, not \(shape) and \(other.shape)")
    }
    let (rows, depth) = transposingSelf ? (shape[1], shape[0]) : (shape[0], shape[1])
    let (otherDepth, columns) = transposingOther ? (other.shape[1], other.shape[0]) : (other.shape[0], other.shape[1])
    guard depth == otherDepth else {
      throw KernelsError.shape(
        operation: "matrix multiply", "\(shape) and \(other.shape) do not fit (\(depth) against \(otherDepth))")
    }
    let output = try device.allocate(rows * columns)
    try device.multiply(
      buffer, transposingA: transposingSelf, other.buffer, transposingB: transposingOther, into: output, rows: rows,
      columns: columns, depth: depth)
    let (keptA, keptB) = (other.isTracked ? self : nil, isTracked ? other : nil)
    return Tensor(shape: [rows, columns], device: device, buffer: output)
      .recorded("matrix multiply", [self, other]) { g, wanted in
        var da: Tensor?
        var db: Tensor?
        if wanted[0], let b = keptB {
          // dA = g op(B)^T, transposed when A is stored transposed.
          da =
            transposingSelf
            ? try b.matrixMultiplied(by: g, transposingSelf: transposingOther, transposingOther: true)
            : try g.matrixMultiplied(by: b, transposingOther: !transposingOther)
        }
        if wanted[1], let a = keptA {
          db =
            transposingOther
            ? try g.matrixMultiplied(by: a, transposingSelf: true, transposingOther: transposingSelf)
            : try a.matrixMultiplied(by: g, transposingSelf: !transposingSelf)
        }
        return [da, db]
      }
  }

  /// x W^T + b for x [N, in], weight [out, in] and bias [out], as PyTorch's Linear.
  public func linear(weight: Tensor, bias: Tensor?) throws -> Tensor {
    let product = try matrixMultiplied(by: weight, transposingOther: true)
    return try bias.map { try product + $0 } ?? product
  }
}
