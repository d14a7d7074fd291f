/// The matrix products for GPUs (section `tiled` of kernels.cl): tiles in local memory, a work-group each.
package struct TiledProduct {
  /// A tile of C: how many rows and columns a work-group of `items` makes of it.
  package enum Tile: CaseIterable {
    case large, small, thin

    var section: KernelSection {
      switch self {
      case .large: return .tiledLarge
      case .small: return .tiledSmall
      case .thin: return .tiledThin
      }
    }

    // Of a work-group of 256. Large: 128 x 128 outputs, 64 accumulators a work-item, which reads 16 words of local memory for
    // 64 multiply-adds; 2 * 128 * 128 / ((128 + 128) * 4) = 32 operations a byte read from the level above; two steps of
    // (128 + 128 + 8) * 8 floats of local memory, 16.5 KiB. Small: 64 x 64 outputs, for products too small to give every
    // compute unit a large tile; 16 operations a byte; 17 KiB. Thin: 16 rows x 256 columns, for few output channels; 17.5 KiB.

    /// Work-items side by side.
    func width(items: Int) -> Int { self == .thin ? items / 4 : 16 }
    /// The outputs of a work-item, down and across.
    var outputs: (rows: Int, columns: Int) { self == .large ? (8, 8) : (4, 4) }
    /// What is in local memory at a time of the depth. Few work-items would fetch more of 16 than their registers hold.
    func depthStep(items: Int) -> Int { self == .small && items > 64 ? 16 : 8 }
    /// The largest, which is a multiple of the others.
    static let commonDepthStep = 16

    /// The names that kernels.cl has for these.
    func definitions(items: Int) -> [(name: String, value: String)] {
      [
        ("TILE_ITEMS", "\(items)u"), ("TILE_WIDTH", "\(width(items: items))u"), ("TILE_RM", "\(outputs.rows)"),
        ("TILE_RN", "\(outputs.columns)"), ("TILE_K", "\(depthStep(items: items))u"),
      ]
    }

    /// Whether a work-group of so many is enough for it.
    func suits(items: Int) -> Bool { self != .large || items >= 128 }

    func rows(items: Int) -> Int { items / width(items: items) * outputs.rows }
    func columns(items: Int) -> Int { width(items: items) * outputs.columns }
  }

  package let rows: Int, columns: Int, depth: Int, batch: Int
  package let tile: Tile
  /// Parts of the depth, and as much of it as each takes.
  package let splits: Int, depthRun: Int

  /// Work-groups of one batch entry and one part of the depth.
  private static func groups(_ tile: Tile, _ rows: Int, _ columns: Int, _ items: Int) -> Int {
    let (height, width) = (tile.rows(items: items), tile.columns(items: items))
    return (rows + height - 1) / height * ((columns + width - 1) / width)
  }

  /// Chooses the tile, and splits the depth where there would be fewer work-groups than are wanted.
  /// - Parameters:
  ///   - items: work-items of a work-group: 64, 128 or 256.
  ///   - computeUnits: the device's.
  ///   - wantedGroups: as many are made of a product's depth where it has fewer; 1 for none.
  ///   - hasLarge: whether large tiles may be taken.
  package init(
    rows: Int, columns: Int, depth: Int, batch: Int = 1, items: Int, computeUnits: Int, wantedGroups: Int,
    hasLarge: Bool = true
  ) {
    (self.rows, self.columns, self.depth, self.batch) = (rows, columns, depth, batch)
    /// The time of as many rounds of work-groups as it takes, one a compute unit; a small tile multiplies at four fifths of the pace.
    func cost(_ tile: Tile) -> Int {
      let rounds = (batch * Self.groups(tile, rows, columns, items) + computeUnits - 1) / computeUnits
      return rounds * tile.rows(items: items) * tile.columns(items: items) * (tile == .large ? 4 : 5)
    }
    if rows <= 16 {
      tile = .thin
    } else if hasLarge, Tile.large.suits(items: items), rows > 64, columns > 64, cost(.large) <= cost(.small) {
      tile = .large
    } else {
      tile = .small
    }
    let groups = batch * Self.groups(tile, rows, columns, items)
    // A part costs a partial product and its sum: it must be worth them.
    let leastRun = 64
    let parts = max(1, min(wantedGroups / groups, depth / leastRun))
    let step = Tile.commonDepthStep
    depthRun = ((depth + parts - 1) / parts + step - 1) / step * step
    splits = (depth + depthRun - 1) / depthRun
  }
}

extension OpenCLDevice {
  /// The product as a kernel of the `tiled` section makes it. A device whose registers do not hold a large tile gets smaller ones.
  private func plan(_ kernel: String, _ product: MatrixProduct, batch: Int) throws -> TiledProduct {
    func plan(hasLarge: Bool) -> TiledProduct {
      TiledProduct(
        rows: product.rows, columns: product.columns, depth: product.depth, batch: batch, items: parameters.tileItems,
        computeUnits: info.computeUnits,
        // Parts are added in another order than a whole: not where that must not depend on the columns, of which each image has some.
        // Tiles of all sizes add in the same order.
        wantedGroups: plannedBatch ?? 1 > 1 ? 1 : parameters.tiledGroups, hasLarge: hasLarge)
    }
    let best = plan(hasLarge: true)
    // On a processor everything lies in memory, and compilers may say so.
    guard best.tile == .large, info.kind != .cpu, try bytesBesideRegisters(.tiledLarge, kernel) > 0 else { return best }
    return plan(hasLarge: false)
  }

  /// Queues a product; where its depth is split, into partial products that are then added.
  /// - Parameters:
  ///   - operands: what the kernel reads.
  ///   - sizes: the kernel's own, before those that all products share.
  func launch(
    _ product: MatrixProduct, batch: Int = 1, _ kernel: String, _ epilogue: Epilogue, _ operands: [Argument],
    into c: Buffer, _ sizes: [Argument] = []
  ) throws {
    var p = try plan(kernel, product, batch: batch)
    while try shrinkTiles(for: p.tile.section, kernel) { p = try plan(kernel, product, batch: batch) }
    let partial = p.splits == 1 ? c : try allocate(p.batch * p.splits * p.rows * p.columns)
    let shared: [Argument] =
      [.structure(product), .uint(p.depthRun), .uint(p.splits)]
      + epilogue.arguments(unread: c, accumulating: product.target.accumulating)
    let items = parameters.tileItems
    let width = p.tile.width(items: items)
    let height = items / p.tile.width(items: items)
    let across = (p.columns + p.tile.columns(items: items) - 1) / p.tile.columns(items: items)
    let down = (p.rows + p.tile.rows(items: items) - 1) / p.tile.rows(items: items)
    try launch(
      p.tile.section, kernel, .tiles([width, height, 1]),
      global: [across * width, down * height, p.batch * p.splits],
      ending: operands + [.buffer(partial)] + sizes + shared)
    if p.splits > 1 {
      try launch(
        p.tile.section, "tiled_fold", .elements, global: [p.columns, p.rows, p.batch],
        ending: [.buffer(partial), .buffer(c)] + shared)
    }
  }

  /// An ungrouped convolution, straight from the image.
  func tiledConvolution(_ x: Buffer, _ w: WeightView, _ epilogue: Epilogue, _ y: Buffer, _ g: Conv2dGeometry) throws {
    if hasFewOutputs(g) { return try convolutionOfFewOutputs(x, w, epilogue, y, g) }
    var product = MatrixProduct(rows: g.outChannels, columns: g.batch * g.outArea, depth: g.channels * g.taps)
    product.target = MatrixTarget(columns: g.outArea)
    product.target.columnBlockStride = g.outChannels * g.outArea
    try launch(
      product, "tiled_conv2d", epilogue, [.buffer(x), .buffer(w.buffer)], into: y,
      [.structure(g), .uint(w.rowStride), .uint(w.channelStride), .uint(w.flipped ? 1 : 0)])
  }

  /// The weight gradient of an ungrouped convolution, straight from the image.
  func tiledWeightGradient(_ x: Buffer, _ dy: Buffer, _ dw: Buffer, _ g: Conv2dGeometry) throws {
    let product = MatrixProduct(rows: g.outChannels, columns: g.channels * g.taps, depth: g.batch * g.outArea)
    try launch(
      product, "tiled_conv2d_weight_gradient", Epilogue(), [.buffer(x), .buffer(dy)], into: dw, [.structure(g)])
  }
}
