/// Convolutions by Winograd's minimal filtering: 3x3 of stride 1 as F(4x4, 3x3), 4x4 of stride 2 in four phases as
/// F(4x4, 2x2). The transforms are in kernels.cl; the products over channels are the packed GEMM's.
extension OpenCLDevice {
  func winograd(_ x: Buffer, _ w: WeightView, _ epilogue: Epilogue, _ y: Buffer, _ g: Conv2dGeometry) throws {
    if g.dilation > 1 {
      let phased = g.phased
      let output = try allocate(phased.outputShape.elementCount)
      try winograd(
        splitPhases(x, g.batch * g.channels, g.height, g.width, phased.height, phased.width, g.dilation), w, epilogue,
        output, phased)
      return try launch(
        .winograd, "join_phases", .rows,
        global: [(g.outWidth + parameters.run - 1) / parameters.run, g.outHeight, g.batch * g.outChannels],
        .buffer(output), .buffer(y), .uint(g.batch * g.outChannels), .uint(g.outHeight), .uint(g.outWidth),
        .uint(phased.outHeight), .uint(phased.outWidth), .uint(g.dilation))
    }
    let transformed = try w.buffer.derived("winograd \(w.name)", within: derivedBudget) {
      let panels = Self.rowPanels(g.outChannels)
      let packed = try allocate(36 * Self.spaced(panels * g.channels * Self.tileRows))
      try launch(
        .winograd, "winograd_weights", .blocks, global: [weightRuns(g.channels), panels], .buffer(w.buffer),
        .buffer(packed), .uint(g.outChannels), .uint(g.channels), .uint(w.rowStride), .uint(w.channelStride),
        .uint(w.flipped ? 1 : 0))
      return packed
    }
    let tiling = WinogradTiling(images: g.batch, height: g.outHeight, width: g.outWidth)
    for chunk in tiling.chunks(
      perPanel: 36 * (g.channels + g.outChannels) * Self.tileColumns, scratch: parameters.winogradScratch)
    {
      let input = try winogradInput(x, g, tiling, chunk)
      let products = try multiplyPoints(
        transformed, input, batch: 36, rows: g.outChannels, depth: g.channels, panels: chunk.count)
      try storeTiles(
        .winograd, "winograd_output", products, epilogue, y, g.outChannels, g.outHeight, g.outWidth, tiling,
        chunk)
    }
  }

  /// dw of a 3x3 convolution: the products' gradient, tiles being the depth, and G^T . G of it.
  func winogradWeightGradient(_ x: Buffer, _ dy: Buffer, _ dw: Buffer, _ g: Conv2dGeometry) throws {
    if g.dilation > 1 {
      let phased = g.phased
      return try winogradWeightGradient(
        splitPhases(x, g.batch * g.channels, g.height, g.width, phased.height, phased.width, g.dilation),
        splitPhases(
          dy, g.batch * g.outChannels, g.outHeight, g.outWidth, phased.outHeight, phased.outWidth, g.dilation), dw,
        phased)
    }
    let sums = try sumPoints(x, dy, g, points: 36, depth: g.channels, "winograd_gradient") {
      try winogradInput(x, g, $0, $1)
    }
    try launch(
      .winogradGradient, "winograd_weight_gradient", .elements, global: [g.outChannels, g.channels], .buffer(sums),
      .buffer(dw), .uint(g.outChannels), .uint(g.channels))
  }

  /// y = x * w of stride 2.
  func winogradStrided(_ x: Buffer, _ w: Buffer, _ epilogue: Epilogue, _ y: Buffer, _ g: Conv2dGeometry) throws {
    let transformed = try stridedWeights(
      w, rows: g.outChannels, depth: g.channels, rowStride: g.channels * 16, depthStride: 16, transposed: false)
    let tiling = WinogradTiling(images: g.batch, height: g.outHeight, width: g.outWidth)
    for chunk in tiling.chunks(
      perPanel: 25 * (4 * g.channels + g.outChannels) * Self.tileColumns, scratch: parameters.winogradScratch)
    {
      let input = try stridedInput(x, g, tiling, chunk)
      let products = try multiplyPoints(
        transformed, input, batch: 25, rows: g.outChannels, depth: 4 * g.channels, panels: chunk.count)
      try storeTiles(
        .winogradStrided, "winograd_strided_output", products, epilogue, y, g.outChannels, g.outHeight,
        g.outWidth, tiling, chunk)
    }
  }

  /// dx of stride 2 (the transposed convolution).
  func winogradStridedInputGradient(_ dy: Buffer, _ w: Buffer, _ bias: Buffer?, _ dx: Buffer, _ g: Conv2dGeometry)
    throws
  {
    let transformed = try stridedWeights(
      w, rows: g.channels, depth: g.outChannels, rowStride: 16, depthStride: g.channels * 16, transposed: true)
    let tiling = WinogradTiling(images: g.batch, height: (g.height + 1) / 2, width: (g.width + 1) / 2)
    for chunk in tiling.chunks(
      perPanel: 100 * (g.channels + g.outChannels) * Self.tileColumns, scratch: parameters.winogradScratch)
    {
      let input = try transformedTiles(
        .winogradStrided, "winograd_transposed_input", points: 100, phases: 2, dy, g.outChannels, g.outHeight,
        g.outWidth,
        tiling, chunk)
      let products = try multiplyPoints(
        transformed, input, batch: 100, rows: g.channels, depth: g.outChannels, panels: chunk.count)
      try storeTiles(
        .winogradStrided, "winograd_transposed_output", products, Epilogue(bias: bias), dx, g.channels,
        g.height, g.width, tiling, chunk)
    }
  }

  func winogradStridedWeightGradient(_ x: Buffer, _ dy: Buffer, _ dw: Buffer, _ g: Conv2dGeometry) throws {
    let sums = try sumPoints(
      x, dy, g, points: 25, depth: 4 * g.channels, "winograd_strided_gradient"
    ) {
      try stridedInput(x, g, $0, $1)
    }
    try launch(
      .winogradGradient, "winograd_strided_weight_gradient", .blocks, global: [(g.outChannels + 15) / 16, g.channels],
      .buffer(sums), .buffer(dw), .uint(g.outChannels), .uint(g.channels))
  }

  // MARK: Steps

  /// The phases of dilated planes, as images of rows x columns.
  private func splitPhases(
    _ x: Buffer, _ planes: Int, _ height: Int, _ width: Int, _ rows: Int, _ columns: Int, _ dilation: Int
  ) throws -> Buffer {
    let phases = dilation * dilation
    let y = try allocate(phases * planes * rows * columns)
    try launch(
      .winograd, "split_phases", .rows,
      global: [(columns + parameters.run - 1) / parameters.run, rows, planes * phases], .buffer(x), .buffer(y),
      .uint(planes), .uint(height), .uint(width), .uint(rows), .uint(columns), .uint(dilation))
    return y
  }

  /// Work-items of a panel of sixteen tiles.
  private var laneItems: Int { Self.tileColumns / parameters.lanes }

  /// SPACED of kernels.cl.
  static func spaced(_ count: Int) -> Int { count + KernelParameters.spacing }

  /// PHASES of kernels.cl.
  private var phasesTogether: Int { parameters.lanes == 16 ? 2 : 1 }

  private static func rowPanels(_ rows: Int) -> Int { (rows + tileRows - 1) / tileRows }

  /// Work-items of a weight transform along the depth.
  private func weightRuns(_ depth: Int) -> Int { (depth * Self.tileRows + parameters.lanes - 1) / parameters.lanes }

  private func winogradInput(_ x: Buffer, _ g: Conv2dGeometry, _ tiling: WinogradTiling, _ chunk: Range<Int>) throws
    -> Buffer
  {
    try transformedTiles(
      .winograd, "winograd_input", points: 36, x, g.channels, g.height, g.width, tiling, chunk,
      ending: [.uint(g.padding)])
  }

  private func stridedInput(_ x: Buffer, _ g: Conv2dGeometry, _ tiling: WinogradTiling, _ chunk: Range<Int>) throws
    -> Buffer
  {
    try transformedTiles(
      .winogradStrided, "winograd_strided_input", points: 100, phases: 4, x, g.channels, g.height, g.width, tiling,
      chunk)
  }

  /// What a transform makes of the tiles of a chunk of panels: `points` values a tile and channel.
  /// - Parameter phases: those that it cuts its input into.
  private func transformedTiles(
    _ section: KernelSection, _ kernel: String, points: Int, phases: Int = 1, _ x: Buffer, _ channels: Int,
    _ height: Int, _ width: Int, _ tiling: WinogradTiling, _ chunk: Range<Int>, ending: [Argument] = []
  ) throws -> Buffer {
    let packed = try allocate(points * chunk.count * Self.spaced(channels * Self.tileColumns))
    try launch(
      section, kernel, .blocks, global: [channels * laneItems, chunk.count, max(1, phases / phasesTogether)],
      ending: ending, .buffer(x),
      .buffer(packed), .structure(tiling.of(channels, height, width, chunk)))
    return packed
  }

  /// The output transform of a chunk of panels, back to NCHW.
  private func storeTiles(
    _ section: KernelSection, _ kernel: String, _ products: Buffer, _ epilogue: Epilogue, _ y: Buffer,
    _ channels: Int, _ height: Int, _ width: Int, _ tiling: WinogradTiling, _ chunk: Range<Int>
  ) throws {
    try launch(
      section, kernel, .blocks, global: [chunk.count * laneItems, channels],
      ending: epilogue.arguments(unread: products), .buffer(products), .buffer(y),
      .structure(tiling.of(channels, height, width, chunk)))
  }

  private func stridedWeights(
    _ w: Buffer, rows: Int, depth: Int, rowStride: Int, depthStride: Int, transposed: Bool
  ) throws -> Buffer {
    try w.derived(transposed ? "winograd transposed" : "winograd strided", within: derivedBudget) {
      let panels = Self.rowPanels(rows)
      let packed = try allocate(100 * Self.spaced(panels * depth * Self.tileRows))
      try launch(
        .winogradStrided, "winograd_strided_weights", .blocks, global: [weightRuns(depth), panels], .buffer(w),
        .buffer(packed), .uint(rows), .uint(depth), .uint(rowStride), .uint(depthStride), .uint(transposed ? 1 : 0))
      return packed
    }
  }

  /// products[panels][rows][batch][lanes]: a GEMM a point, the points of a tile side by side for the output transform.
  private func multiplyPoints(_ weights: Buffer, _ input: Buffer, batch: Int, rows: Int, depth: Int, panels: Int) throws
    -> Buffer
  {
    let columns = panels * Self.tileColumns
    let plane = Self.spaced(depth * Self.tileColumns)
    let products = try allocate(batch * rows * columns)
    var target = MatrixTarget(columns: Self.tileColumns)
    target.batchStride = Self.tileColumns
    target.rowStride = batch * Self.tileColumns
    target.columnBlockStride = rows * batch * Self.tileColumns
    try gemm(
      .packed(weights, rows: rows, depth: depth, isSpaced: true), input,
      panelStrides: (batch: plane, panel: batch * plane),
      into: products, rows: rows, columns: columns, depth: depth, batch: batch, target)
    return products
  }

  /// sums[points][depth][outChannels] of the transformed input times the transformed gradient, over all tiles.
  private func sumPoints(
    _ x: Buffer, _ dy: Buffer, _ g: Conv2dGeometry, points: Int, depth: Int, _ kernel: String,
    input: (WinogradTiling, Range<Int>) throws -> Buffer
  ) throws -> Buffer {
    let lanes = Self.tileColumns
    let sums = try allocate(points * depth * g.outChannels)
    let tiling = WinogradTiling(images: g.batch, height: g.outHeight, width: g.outWidth)
    let channelPanels = (g.outChannels + lanes - 1) / lanes
    for chunk in tiling.chunks(
      perPanel: points * (depth + 2 * g.outChannels) * lanes, scratch: parameters.winogradScratch)
    {
      let a = try input(tiling, chunk)
      let gradient = try transformedTiles(
        .winogradGradient, kernel, points: points, dy, g.outChannels, g.outHeight, g.outWidth, tiling, chunk)
      let b = try allocate(points * channelPanels * chunk.count * lanes * lanes)
      try launch(
        .gemm, "transpose_panels", .blocks, global: [channelPanels, chunk.count, points], .buffer(gradient),
        .buffer(b), .uint(g.outChannels), .uint(chunk.count))
      try launch(
        .gemm, "gemm_lanes", .blocks, global: [channelPanels, Self.rowPanels(depth), points], .buffer(a), .buffer(b),
        .buffer(sums), .uint(depth), .uint(g.outChannels), .uint(chunk.count), .uint(points),
        .uint(chunk.lowerBound > 0 ? 1 : 0))
    }
    return sums
  }
}
