extension OpenCLDevice: ConvolutionKernels {
  /// A convolution weight as a matrix [rows][depth channels][taps]: as stored, or transposed and flipped, which
  /// turns a stride-1 input gradient into a convolution.
  struct WeightView {
    let buffer: Buffer
    let rowStride: Int
    let channelStride: Int
    let flipped: Bool
    var name: String { flipped ? "flipped" : "stored" }
  }

  /// What follows a convolution in its kernel.
  struct Epilogue {
    var bias: Buffer?
    var rectifier = Rectifier.none

    /// EPILOGUE_ARGUMENTS of kernels.cl.
    /// - Parameters:
    ///   - unread: any buffer, in the place of one that is not there.
    ///   - accumulating: a product is added to what is there.
    func arguments(unread: Buffer, accumulating: Bool = false) -> [Argument] {
      var (flags, slope, slopes): ([EpilogueFlag], Float, Buffer) = ([], 1, unread)
      if bias != nil { flags.append(.withBias) }
      if accumulating { flags.append(.accumulated) }
      switch rectifier {
      case .leaky(let one): slope = one
      case .channels(let all):
        flags.append(.withSlopes)
        slopes = all
      }
      let bits = flags.reduce(0) { $0 | Int($1.rawValue) }
      return [.buffer(bias ?? unread), .buffer(slopes), .uint(bits), .float(slope)]
    }
  }

  package func conv2d(
    _ x: Buffer, _ w: Buffer, bias: Buffer?, _ rectifier: Rectifier, into y: Buffer, _ g: Conv2dGeometry
  ) throws {
    let epilogue = Epilogue(bias: bias, rectifier: rectifier)
    if g.groups > 1 {
      return try grouped(
        "conv2d_grouped", x, w, epilogue, y, g,
        overRows(g.outHeight, width: g.outWidth, planes: g.outChannels * g.batch))
    }
    if g.stride == 2, algorithm(for: g) == .winograd { return try winogradStrided(x, w, epilogue, y, g) }
    let view = WeightView(
      buffer: w, rowStride: g.channels * g.taps, channelStride: g.taps, flipped: false)
    try convolve(x, view, epilogue, y, g)
  }

  package func conv2dInputGradient(
    _ dy: Buffer, _ w: Buffer, bias: Buffer?, into dx: Buffer, _ g: Conv2dGeometry
  ) throws {
    if g.groups > 1 {
      return try grouped(
        "conv2d_grouped_input_gradient", dy, w, Epilogue(bias: bias), dx, g,
        overRows(g.height, width: g.width, planes: g.channels * g.batch))
    }
    if g.stride == 2, algorithm(for: g) == .winograd {
      return try winogradStridedInputGradient(dy, w, bias, dx, g)
    }
    if let mirrored = g.mirrored {
      let view = WeightView(buffer: w, rowStride: g.taps, channelStride: g.channels * g.taps, flipped: true)
      return try convolve(dy, view, Epilogue(bias: bias), dx, mirrored)
    }
    try scatterColumns(dy, w, bias, dx, g)
  }

  /// How the kernels of the `conv` section that make rows are launched.
  private func overRows(_ rows: Int, width: Int, planes: Int) -> (grouping: Grouping, global: [Int]) {
    parameters.lanes == 16 ? (.rows, [rows, planes]) : (.elements, [width, rows, planes])
  }

  private func grouped(
    _ kernel: String, _ x: Buffer, _ w: Buffer, _ epilogue: Epilogue, _ y: Buffer, _ g: Conv2dGeometry,
    _ size: (grouping: Grouping, global: [Int])
  ) throws {
    try launch(
      .conv, kernel, size.grouping, global: size.global, ending: epilogue.arguments(unread: w), .buffer(x), .buffer(w),
      .buffer(y), .structure(g))
  }

  private func convolve(_ x: Buffer, _ w: WeightView, _ epilogue: Epilogue, _ y: Buffer, _ g: Conv2dGeometry) throws {
    switch algorithm(for: g) {
    case .winograd: try winograd(x, w, epilogue, y, g)
    case .direct: try direct(x, w, epilogue, y, g)
    case .columns: try multiplyColumns(x, w, epilogue, y, g)
    case .tiled: try tiledConvolution(x, w, epilogue, y, g)
    }
  }

  /// im2col in chunks that stay near the cache, times the packed weight.
  private func multiplyColumns(_ x: Buffer, _ w: WeightView, _ epilogue: Epilogue, _ y: Buffer, _ g: Conv2dGeometry)
    throws
  {
    let depth = g.channels * g.taps
    // Stored weights are the matrix already.
    let weights =
      try w.flipped
      ? .packed(
        w.buffer.derived("rows", within: derivedBudget) {
          try packRows(
            w.buffer, rows: g.outChannels, depth: depth, rowStride: w.rowStride,
            MatrixDepth(inner: g.taps, outerStride: w.channelStride, innerStride: -1, offset: g.taps - 1))
        }, rows: g.outChannels, depth: depth) : MatrixRows.plain(w.buffer, rowStride: depth)
    let columns = g.batch * g.outArea
    let chunk = max(64 * info.computeUnits, (1 << 21) / depth) / 64 * 64
    var target = MatrixTarget(columns: g.outArea)
    target.columnBlockStride = g.outChannels * g.outArea
    for first in stride(from: 0, to: columns, by: chunk) {
      let count = min(chunk, columns - first)
      let scratch = try columnPanels(x, g, first: first, count: count)
      target.firstColumn = first
      try gemm(weights, scratch, epilogue, into: y, rows: g.outChannels, columns: count, depth: depth, target)
    }
  }

  /// Columns [first, first + count) of im2col as panels; those of a plain 1x1 convolution are the pixels themselves.
  private func columnPanels(_ x: Buffer, _ g: Conv2dGeometry, first: Int, count: Int) throws -> Buffer {
    if g.taps == 1, g.stride == 1, g.padding == 0 {
      return try packColumns(
        x, columns: count, depth: g.channels, firstColumn: first, depthStride: g.outArea, columnInner: g.outArea,
        outerStride: g.channels * g.outArea)
    }
    let panels = (count + Self.tileColumns - 1) / Self.tileColumns
    let packed = try allocate(panels * g.channels * g.taps * Self.tileColumns)
    try launch(
      .columns, "im2col_panels", .blocks, global: [g.channels, panels], .buffer(x), .buffer(packed), .structure(g),
      .uint(first), .uint(count))
    return packed
  }

  /// Straight from padded strips of the image, without columns.
  private func direct(_ x: Buffer, _ w: WeightView, _ epilogue: Epilogue, _ y: Buffer, _ g: Conv2dGeometry) throws {
    // The tile that wastes the fewest rows, the larger of equals.
    func waste(_ rows: Int) -> Int { (g.outChannels + rows - 1) / rows * rows }
    let tileRows = parameters.directTiles.min { (waste($0), -$0) < (waste($1), -$1) } ?? 3
    let tileWidth = parameters.vectorLanes * parameters.directVectors(rows: tileRows)
    let tiles = (g.outChannels + tileRows - 1) / tileRows
    let packed = try w.buffer.derived("direct \(w.name)", within: derivedBudget) {
      let packed = try allocate(tiles * g.channels * g.taps * tileRows)
      try launch(
        .direct, "pack_direct_weights", .elements, global: [g.channels * g.taps, tiles], .buffer(w.buffer),
        .buffer(packed), .uint(g.outChannels), .uint(g.channels), .uint(g.taps), .uint(w.rowStride),
        .uint(w.channelStride), .uint(w.flipped ? 1 : 0), .uint(tileRows))
      return packed
    }
    let pitch = paddedPitch(g, tileWidth: tileWidth)
    // Strips of rows, so that the padded copy is small and still in the cache when it is read.
    let overlap = g.dilation * (g.kernelHeight - 1)
    let strip = max(8, (1 << 20) / (g.batch * g.channels * pitch) - overlap)
    for first in stride(from: 0, to: g.outHeight, by: strip) {
      let rows = min(strip, g.outHeight - first)
      let padded = try paddedPlanes(
        x, g, firstRow: first, rows: rows + overlap, pitch: pitch, images: 0..<g.batch)
      try launch(
        .direct, "conv2d_direct_\(tileRows)", .blocks,
        global: [rows, (g.outWidth + tileWidth - 1) / tileWidth, tiles * g.batch],
        ending: epilogue.arguments(unread: packed), .buffer(padded), .buffer(packed), .buffer(y), .structure(g),
        .uint(rows + overlap), .uint(pitch), .uint(first), .uint(rows))
    }
  }

  /// dw straight from the image: a partial sum an image, then their sum.
  private func directWeightGradient(_ x: Buffer, _ dy: Buffer, _ dw: Buffer, _ g: Conv2dGeometry) throws {
    let pitch = paddedPitch(g, tileWidth: 16)
    let paddedHeight = g.height + 2 * g.padding
    let images = max(1, min(g.batch, (1 << 20) / (g.channels * paddedHeight * pitch)))
    let partial = g.batch == 1 ? dw : try allocate(g.batch * g.weightShape.elementCount)
    let columns = parameters.directColumns
    let tiles = (g.outChannels + 2) / 3 * ((g.kernelWidth + columns - 1) / columns)
    for first in stride(from: 0, to: g.batch, by: images) {
      let count = min(images, g.batch - first)
      let padded = try paddedPlanes(
        x, g, firstRow: 0, rows: paddedHeight, pitch: pitch, images: first..<first + count)
      try launch(
        .direct, "conv2d_direct_weight_gradient", .blocks, global: [g.channels * g.kernelHeight, tiles, count],
        .buffer(padded), .buffer(dy), .buffer(partial), .structure(g), .uint(paddedHeight), .uint(pitch), .uint(first),
        .uint(count))
    }
    if g.batch > 1 {
      try reduce(.sum, partial, into: dw, outer: 1, length: g.batch, inner: g.weightShape.elementCount)
    }
  }

  /// Elements of a row of padded planes that tiles of `tileWidth` pixels read to its end.
  private func paddedPitch(_ g: Conv2dGeometry, tileWidth: Int) -> Int {
    let read = (g.outWidth + tileWidth - 1) / tileWidth * tileWidth + g.dilation * (g.kernelWidth - 1)
    return (read + parameters.run - 1) / parameters.run * parameters.run
  }

  /// Rows of the padded planes of some images, from firstRow of the padded image on.
  private func paddedPlanes(
    _ x: Buffer, _ g: Conv2dGeometry, firstRow: Int, rows: Int, pitch: Int, images: Range<Int>
  ) throws -> Buffer {
    let planes = images.count * g.channels
    let padded = try allocate(planes * rows * pitch)
    try launch(
      .direct, "pad_planes", .rows, global: [pitch / parameters.run, rows, planes], .buffer(x), .buffer(padded),
      .uint(images.lowerBound * g.channels), .uint(planes), .uint(g.height), .uint(g.width), .uint(rows),
      .uint(pitch), .int(g.padding - firstRow), .int(g.padding))
    return padded
  }

  /// The strided input gradient: columns = w^T dy over the whole batch, folded back by col2im, some channels at a time.
  private func scatterColumns(_ dy: Buffer, _ w: Buffer, _ bias: Buffer?, _ dx: Buffer, _ g: Conv2dGeometry) throws {
    let pixels = g.batch * g.outArea
    let chunk = max(1, min(g.channels, (4 << 20) / (g.taps * max(pixels, g.outChannels))))
    let packedGradient = try packColumns(
      dy, columns: pixels, depth: g.outChannels, depthStride: g.outArea, columnInner: g.outArea,
      outerStride: g.outChannels * g.outArea)
    for first in stride(from: 0, to: g.channels, by: chunk) {
      let count = min(chunk, g.channels - first)
      let rows = count * g.taps
      let weights = try w.derived("scatter \(first) \(count)", within: derivedBudget) {
        try packRows(
          w, rows: rows, depth: g.outChannels, rowStride: 1,
          MatrixDepth(inner: g.outChannels, innerStride: g.channels * g.taps, offset: first * g.taps))
      }
      let slack = Self.tileColumns
      let columns = try allocate(rows * pixels + 2 * slack)
      try gemm(
        .packed(weights, rows: rows, depth: g.outChannels), packedGradient, into: columns, rows: rows, columns: pixels,
        depth: g.outChannels,
        MatrixTarget(columns: pixels, offset: slack))
      let size = overRows(g.height, width: g.width, planes: count * g.batch)
      try launch(
        .conv, "col2im", size.grouping, global: size.global, .buffer(columns), .buffer(bias ?? columns),
        .buffer(dx), .structure(g), .uint(first), .uint(count), .uint(slack), .uint(bias == nil ? 0 : 1))
    }
  }

  package func conv2dWeightGradient(_ x: Buffer, _ dy: Buffer, into dw: Buffer, _ g: Conv2dGeometry) throws {
    if g.groups > 1 {
      return try launch(
        .conv, "conv2d_grouped_weight_gradient", .elements, global: [g.channels / g.groups * g.taps, g.outChannels],
        .buffer(x), .buffer(dy), .buffer(dw), .structure(g))
    }
    // A GPU has no other, not in Winograd's space either.
    switch (parameters.tileItems > 0 ? .tiled : algorithm(for: g), g.stride) {
    case (.winograd, 1): return try winogradWeightGradient(x, dy, dw, g)
    case (.winograd, _): return try winogradStridedWeightGradient(x, dy, dw, g)
    case (.direct, _): return try directWeightGradient(x, dy, dw, g)
    case (.tiled, _): return try tiledWeightGradient(x, dy, dw, g)
    case (.columns, _): break
    }
    let columns = g.channels * g.taps
    let panels = (columns + Self.tileColumns - 1) / Self.tileColumns
    let pixels = g.batch * g.outArea
    let chunk = max(256, min(pixels, (4 << 20) / columns))
    var target = MatrixTarget(columns: columns)
    for first in stride(from: 0, to: pixels, by: chunk) {
      let count = min(chunk, pixels - first)
      let a =
        try g.batch == 1
        ? .plain(dy, offset: first, rowStride: g.outArea)
        : MatrixRows.packed(
          packRows(
            dy, rows: g.outChannels, depth: count, rowStride: g.outArea,
            MatrixDepth(inner: g.outArea, outerStride: g.outChannels * g.outArea, first: first)), rows: g.outChannels,
          depth: count)
      let b = try allocate(panels * count * Self.tileColumns)
      let run = 64
      try launch(
        .columns, "im2col_transposed_panels", .blocks, global: [(count + run - 1) / run, panels], .buffer(x),
        .buffer(b),
        .structure(g), .uint(first), .uint(count), .uint(run))
      target.accumulating = first > 0
      try gemm(a, b, into: dw, rows: g.outChannels, columns: columns, depth: count, target)
    }
  }
}
