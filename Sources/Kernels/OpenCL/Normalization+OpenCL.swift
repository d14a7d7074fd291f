extension OpenCLDevice: NormalizationKernels {
  /// By the area alone, not by how many groups there are: an image comes out the same whatever shares its batch.
  private func grouping(_ geometry: NormGeometry) -> Grouping { .groups(upTo: geometry.area >= 4096 ? 1024 : 256) }

  package func normalize(
    _ x: Buffer, gamma: Buffer, beta: Buffer, residual: Buffer?, into y: Buffer, statistics: Buffer,
    _ geometry: NormGeometry, slope: Float
  ) throws {
    try launch(
      .norm, "normalize_forward", grouping(geometry), global: [geometry.groups], .buffer(x), .buffer(gamma),
      .buffer(beta),
      .buffer(residual ?? x), .buffer(y), .buffer(statistics), .localPerItem(8), .uint(geometry.channels),
      .uint(geometry.planes), .uint(geometry.area), .uint(geometry.planeStride), .float(geometry.epsilon),
      .uint(geometry.isUnbiased ? 1 : 0), .float(slope), .uint(residual == nil ? 0 : 1))
  }

  package func normalizeGradient(
    _ x: Buffer, _ dy: Buffer, gamma: Buffer, beta: Buffer, statistics: Buffer, into dx: Buffer, sums: Buffer,
    _ geometry: NormGeometry, slope: Float
  ) throws {
    try launch(
      .norm, "normalize_gradient", grouping(geometry), global: [geometry.groups], .buffer(x), .buffer(dy),
      .buffer(gamma),
      .buffer(beta), .buffer(statistics), .buffer(dx), .buffer(sums), .localPerItem(8), .uint(geometry.channels),
      .uint(geometry.planes), .uint(geometry.area), .uint(geometry.planeStride), .float(geometry.epsilon),
      .uint(geometry.isUnbiased ? 1 : 0), .float(slope))
  }

  package func normalizeSecondGradient(
    _ x: Buffer, _ dy: Buffer, _ u: Buffer, gamma: Buffer, beta: Buffer, statistics: Buffer, into dx: Buffer,
    ddy: Buffer, dgamma: Buffer, _ geometry: NormGeometry, slope: Float
  ) throws {
    try launch(
      .norm, "normalize_second_gradient", grouping(geometry), global: [geometry.groups], .buffer(x), .buffer(dy),
      .buffer(u),
      .buffer(gamma), .buffer(beta), .buffer(statistics), .buffer(dx), .buffer(ddy), .buffer(dgamma),
      .localPerItem(8), .uint(geometry.channels), .uint(geometry.planes), .uint(geometry.area),
      .uint(geometry.planeStride), .float(geometry.epsilon), .uint(geometry.isUnbiased ? 1 : 0), .float(slope))
  }
}
