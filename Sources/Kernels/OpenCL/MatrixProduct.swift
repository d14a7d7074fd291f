/// A matrix product C = A B as kernels.cl's Product: its extents, and where the elements of A, B and C lie.
struct MatrixProduct: KernelStructure {
  var rows: Int, columns: Int, depth: Int
  /// Element (m, k) of A; unused by kernels that read images.
  var left = MatrixPlaces()
  /// The distances of B's batches and panels; likewise.
  var right = (batch: 0, panel: 0)
  /// Where C goes: a row-major matrix, if nothing else is said.
  var target: MatrixTarget

  init(rows: Int, columns: Int, depth: Int) {
    (self.rows, self.columns, self.depth) = (rows, columns, depth)
    target = MatrixTarget(columns: columns)
  }

  static let kernelName = "Product"
  static let kernelFields: [KernelField<MatrixProduct>] = [
    ("rows", { $0.rows }), ("columns", { $0.columns }), ("depth", { $0.depth }), ("aOffset", { $0.left.offset }),
    ("aBatchStride", { $0.left.batchStride }), ("aPanelStride", { $0.left.panelStride }),
    ("aRowStride", { $0.left.rowStride }),
    ("aDepthStride", { $0.left.depthStride }), ("bBatchStride", { $0.right.batch }),
    ("bPanelStride", { $0.right.panel }),
    ("cOffset", { $0.target.offset }), ("cBatchStride", { $0.target.batchStride }),
    ("cRowStride", { $0.target.rowStride }),
    ("columnBlock", { $0.target.columnBlock }), ("columnBlockStride", { $0.target.columnBlockStride }),
    ("firstColumn", { $0.target.firstColumn }),
  ]
}

/// Where the elements of a left operand lie: see gemm_packed.
struct MatrixPlaces {
  var offset = 0
  var batchStride = 0
  var panelStride = 0, rowStride = 0, depthStride = 0
}

/// Where a product's elements go: see gemm_packed.
struct MatrixTarget {
  var offset = 0
  var batchStride = 0
  var rowStride: Int
  var columnBlock: Int
  var columnBlockStride = 0
  var firstColumn = 0
  /// The product is added to what is there.
  var accumulating = false

  /// A row-major matrix, from `offset` elements into its buffer.
  init(columns: Int, offset: Int = 0) {
    rowStride = columns
    columnBlock = columns
    self.offset = offset
  }
}
