/// The packed GEMM of kernels.cl: operands are packed into panels of its register tile, then multiplied; the left one is
/// read as it is where its depth lies together.
extension OpenCLDevice: MatrixKernels {
  static var tileRows: Int { KernelParameters.tileRows }
  static var tileColumns: Int { KernelParameters.tileColumns }

  package func multiply(
    _ a: Buffer, transposingA: Bool, _ b: Buffer, transposingB: Bool, into c: Buffer, rows: Int, columns: Int,
    depth: Int
  ) throws {
    if transposingB, rows < columns {
      // The transposed product, C^T = B^T A^T: B's rows, the many, are read as they are, and A's are the columns to be packed.
      let packedA = try packColumns(
        a, columns: rows, depth: depth, depthStride: transposingA ? rows : 1, columnInner: rows,
        innerStride: transposingA ? 1 : depth)
      var transposed = MatrixTarget(columns: 1)
      transposed.columnBlockStride = columns
      return try gemm(
        .plain(b, rowStride: depth), packedA, into: c, rows: columns, columns: rows, depth: depth, transposed)
    }
    let panels =
      try transposingA
      ? .packed(
        packRows(a, rows: rows, depth: depth, rowStride: 1, MatrixDepth(inner: depth, innerStride: rows)), rows: rows,
        depth: depth) : MatrixRows.plain(a, rowStride: depth)
    let packedB = try packColumns(
      b, columns: columns, depth: depth, depthStride: transposingB ? 1 : columns, columnInner: columns,
      innerStride: transposingB ? depth : 1)
    try gemm(panels, packedB, into: c, rows: rows, columns: columns, depth: depth, MatrixTarget(columns: columns))
  }

  /// The left operand: its buffer, and where its element (m, k) lies, as in gemm_packed.
  struct MatrixRows {
    let buffer: Buffer
    let places: MatrixPlaces

    /// What `packRows` makes.
    /// - Parameter isSpaced: whether its matrices lie `spaced` apart, as Winograd's weights do.
    static func packed(_ buffer: Buffer, rows: Int, depth: Int, isSpaced: Bool = false) -> MatrixRows {
      let panels = (rows + tileRows - 1) / tileRows
      let matrix = panels * depth * tileRows
      return MatrixRows(
        buffer: buffer,
        places: MatrixPlaces(
          batchStride: isSpaced ? spaced(matrix) : matrix, panelStride: depth * tileRows, rowStride: 1,
          depthStride: tileRows))
    }

    /// Rows of a matrix as they are.
    static func plain(_ buffer: Buffer, offset: Int = 0, rowStride: Int) -> MatrixRows {
      MatrixRows(
        buffer: buffer,
        places: MatrixPlaces(offset: offset, panelStride: tileRows * rowStride, rowStride: rowStride, depthStride: 1))
    }
  }

  /// How the depth index of a packed operand maps to memory: k = outer * inner + rest.
  struct MatrixDepth {
    var inner: Int
    var outerStride = 0
    var innerStride = 1
    var offset = 0
    var first = 0
  }

  func packRows(
    _ source: Buffer, rows: Int, depth: Int, rowStride: Int, _ map: MatrixDepth, batch: Int = 1, batchStride: Int = 0
  ) throws -> Buffer {
    let panels = (rows + Self.tileRows - 1) / Self.tileRows
    let packed = try allocate(batch * panels * depth * Self.tileRows)
    let depthRun = parameters.run
    // Many panels at a time where neighbouring rows share cache lines, or nearly.
    let panelRun = rowStride <= 64 ? parameters.run : 1
    try launch(
      .pack, "pack_rows", .blocks,
      global: [(depth + depthRun - 1) / depthRun, (panels + panelRun - 1) / panelRun, batch], .buffer(source),
      .buffer(packed), .uint(rows), .uint(depth), .uint(map.first), .int(batchStride), .int(rowStride),
      .uint(map.inner), .int(map.outerStride), .int(map.innerStride), .int(map.offset), .uint(depthRun),
      .uint(panelRun))
    return packed
  }

  func packColumns(
    _ source: Buffer, columns: Int, depth: Int, firstColumn: Int = 0, depthStride: Int, columnInner: Int,
    outerStride: Int = 0,
    innerStride: Int = 1, offset: Int = 0, batch: Int = 1, batchStride: Int = 0
  ) throws -> Buffer {
    let panels = (columns + Self.tileColumns - 1) / Self.tileColumns
    let packed = try allocate(batch * panels * depth * Self.tileColumns)
    try launch(
      .pack, "pack_columns", .rows, global: [depth, panels, batch], .buffer(source), .buffer(packed),
      .uint(columns), .uint(depth), .uint(firstColumn), .int(batchStride), .int(depthStride), .uint(columnInner),
      .int(outerStride),
      .int(innerStride), .int(offset))
    return packed
  }

  /// C = A B (+ bias by row), rectified, B packed.
  /// - Parameter panelStrides: where B's panels lie, if not one after another.
  func gemm(
    _ a: MatrixRows, _ b: Buffer, panelStrides: (batch: Int, panel: Int)? = nil, _ epilogue: Epilogue = Epilogue(),
    into c: Buffer, rows: Int, columns: Int, depth: Int, batch: Int = 1, _ target: MatrixTarget
  ) throws {
    let panelsM = (rows + Self.tileRows - 1) / Self.tileRows
    let panelsN = (columns + Self.tileColumns - 1) / Self.tileColumns
    var product = MatrixProduct(rows: rows, columns: columns, depth: depth)
    product.left = a.places
    product.right = panelStrides ?? (batch: panelsN * depth * Self.tileColumns, panel: depth * Self.tileColumns)
    product.target = target
    if parameters.tileItems > 0 {
      return try launch(
        product, batch: batch, "tiled_packed", epilogue, [.buffer(a.buffer), .buffer(b)], into: c)
    }
    // A left operand that is larger than any cache is read once, all columns at a time; else rows are split only where a
    // few column panels a work-item leave units without work.
    // That adds in another order: not where the order must not depend on the columns, of which each image has some.
    let leftOnce = batch == 1 && plannedBatch ?? 1 == 1 && panelsN <= 16 && rows * depth >= 1 << 20
    let columnPanels = leftOnce ? panelsN : parameters.columnPanels
    let depthBlock = leftOnce ? min(2048, 4096 / panelsN) : 256  // B's panels in it: at most 256 KiB, else 16 KiB each
    let itemsN = (panelsN + columnPanels - 1) / columnPanels
    let wanted = max(1, info.computeUnits * 4 / max(1, itemsN * batch))
    let rowPanels = max(1, (panelsM + wanted - 1) / wanted)
    try launch(
      .gemm, "gemm_packed", .blocks, global: [itemsN, (panelsM + rowPanels - 1) / rowPanels, batch],
      ending: epilogue.arguments(unread: a.buffer, accumulating: target.accumulating), .buffer(a.buffer),
      .buffer(b), .buffer(c), .structure(product), .uint(rowPanels), .uint(columnPanels), .uint(depthBlock),
      .uint(leftOnce ? 1 : 0))
  }
}
