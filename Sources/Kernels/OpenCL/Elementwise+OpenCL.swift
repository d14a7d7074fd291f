extension OpenCLDevice: ElementwiseKernels {
  package func unary(_ operation: UnaryOperation, _ x: Buffer, into y: Buffer, count: Int, a: Float, b: Float) throws {
    try launch(
      .elementwise, operation.kernel, .elements, global: [count], .buffer(x), .buffer(y), .uint(count),
      .float(a), .float(b))
  }

  package func binary(
    _ operation: BinaryOperation, _ a: Buffer, _ b: Buffer, into y: Buffer, layout: StridedLayout, parameter: Float
  ) throws {
    try launch(
      .binary, operation.kernel, .rows,
      global: [(layout.shape[3] + parameters.run - 1) / parameters.run, layout.rows], .buffer(a),
      .buffer(b), .buffer(y), .uint4(layout.shape), .uint4(layout.strides[0]), .uint4(layout.strides[1]),
      .float(parameter))
  }
}
