extension Tensor {
  /// The same elements under another shape. One extent may be -1: what remains.
  public func reshaped(_ target: Shape) throws -> Tensor {
    var target = target
    if let free = target.firstIndex(of: -1) {
      let others = target.indices.filter { $0 != free }.map { target[$0] }.elementCount
      target[free] = others > 0 && count % others == 0 ? count / others : 0
    }
    guard target.elementCount == count, target.allSatisfy({ $0 > 0 }) else {
      throw KernelsError.shape(operation: "reshape", "\(shape) has \(count) elements, \(target) has not")
    }
    if target == shape { return self }
    return Tensor(shape: target, device: device, buffer: buffer).recorded("reshape", [self]) { [shape] g, _ in
      [try g.reshaped(shape)]
    }
  }

  /// The axes in another order: axis i of the result is axis `order[i]` of this.
  public func permuted(_ order: [Int]) throws -> Tensor {
    guard order.sorted() == Array(shape.indices) else {
      throw KernelsError.shape(operation: "permute", "\(order) is no order of the axes of \(shape)")
    }
    let target = order.map { shape[$0] }
    let strides = shape.contiguousStrides
    var inverse = order
    for (to, from) in order.enumerated() { inverse[from] = to }
    return try copied(
      "permute", shape: target, from: order.map { strides[$0] }, offset: 0, into: target, to: target.contiguousStrides,
      at: 0
    ).recorded("permute", [self]) { g, _ in [try g.permuted(inverse)] }
  }

  /// Repeated along axes of extent 1 to fill `target`, by NumPy's rule.
  public func broadcast(to target: Shape) throws -> Tensor {
    guard try broadcastShape("broadcast", shape, target) == target else {
      throw KernelsError.shape(operation: "broadcast", "\(shape) does not broadcast to \(target)")
    }
    if shape == target { return self }
    guard target.allSatisfy((1...largestExtent).contains) else {
      throw KernelsError.shape(operation: "broadcast", "\(shape) cannot become \(target)")
    }
    return try copied(
      "broadcast", shape: target, from: broadcastStrides(shape, to: target), offset: 0, into: target,
      to: target.contiguousStrides, at: 0
    ).recorded("broadcast", [self]) { [shape] g, _ in [try g.summed(toShape: shape)] }
  }

  /// The part of one axis inside `range`.
  public func sliced(axis: Int, _ range: Range<Int>) throws -> Tensor {
    guard shape.indices.contains(axis), range.lowerBound >= 0, range.upperBound <= shape[axis], !range.isEmpty else {
      throw KernelsError.shape(operation: "slice", "\(range) is not within axis \(axis) of \(shape)")
    }
    if range == 0..<shape[axis] { return self }
    var target = shape
    target[axis] = range.count
    let strides = shape.contiguousStrides
    let (before, after) = (range.lowerBound, shape[axis] - range.upperBound)
    return try copied(
      "slice", shape: target, from: strides, offset: range.lowerBound * strides[axis], into: target,
      to: target.contiguousStrides, at: 0
    ).recorded("slice", [self]) { g, _ in [try g.padded(axis: axis, before: before, after: after)] }
  }

  /// Zeros added before and after along one axis.
  public func padded(axis: Int, before: Int, after: Int) throws -> Tensor {
    guard shape.indices.contains(axis), (0...largestExtent).contains(before), (0...largestExtent).contains(after) else {
      throw KernelsError.shape(operation: "pad", "cannot pad axis \(axis) of \(shape) by \(before) and \(after)")
    }
    if before == 0 && after == 0 { return self }
    var target = shape
    target[axis] += before + after
    let strides = target.contiguousStrides
    let extent = shape[axis]
    return try copied(
      "pad", shape: shape, from: shape.contiguousStrides, offset: 0, into: target, to: strides,
      at: before * strides[axis]
    ).recorded("pad", [self]) { g, _ in [try g.sliced(axis: axis, before..<before + extent)] }
  }

  /// Zeros added around the last two axes.
  public func padded(top: Int, bottom: Int, left: Int, right: Int) throws -> Tensor {
    try padded(axis: rank - 2, before: top, after: bottom).padded(axis: rank - 1, before: left, after: right)
  }

  /// Tensors joined along one axis; all other extents must agree.
  public static func concatenated(_ parts: [Tensor], axis: Int) throws -> Tensor {
    guard let first = parts.first, first.shape.indices.contains(axis) else {
      throw KernelsError.shape(operation: "concatenate", "no tensor, or no axis \(axis) in \(parts.first?.shape ?? [])")
    }
    var target = first.shape
    target[axis] = 0
    for part in parts {
      try first.requireSameDevice(as: part, for: "concatenate")
      var expected = first.shape
      if part.rank == first.rank { expected[axis] = part.shape[axis] }
      guard part.shape == expected else {
        throw KernelsError.shape(
          operation: "concatenate", "\(part.shape) does not join \(first.shape) along axis \(axis)")
      }
      target[axis] += part.shape[axis]
    }
    if parts.count == 1 { return first }
    let strides = target.contiguousStrides
    let output = try first.device.allocate(target.elementCount)
    var ranges: [Range<Int>] = []
    for part in parts {
      let start = ranges.last?.upperBound ?? 0
      ranges.append(start..<start + part.shape[axis])
      let layout = try StridedLayout(
        operation: "concatenate", shape: part.shape, strides: [part.shape.contiguousStrides, strides])
      try first.device.copy(part.buffer, into: output, layout: layout, xOffset: 0, yOffset: start * strides[axis])
    }
    return Tensor(shape: target, device: first.device, buffer: output).recorded("concatenate", parts) { g, wanted in
      try zip(ranges, wanted).map { range, wanted in wanted ? try g.sliced(axis: axis, range) : nil }
    }
  }

  /// This [N, C, H, W] plus `cases` [N, C, side, side], side odd and no more than H and W, whose middle row and column are
  /// repeated until they fill H and W: what depends only on how far a border is.
  package func adding(spread cases: Tensor) throws -> Tensor {
    let side = cases.shape.last ?? 0
    guard rank == 4, cases.shape == [shape[0], shape[1], side, side], side % 2 == 1, shape[2] >= side, shape[3] >= side
    else { throw KernelsError.shape(operation: "add spread", "\(cases.shape) does not spread over \(shape)") }
    try requireSameDevice(as: cases, for: "add spread")
    let output = try device.allocate(count)
    try device.addSpread(
      buffer, cases.buffer, into: output, planes: shape[0] * shape[1], height: shape[2], width: shape[3], side: side)
    return Tensor(shape: shape, device: device, buffer: output).recorded("add spread", [self, cases]) { g, wanted in
      [g, wanted[1] ? try g.folded(axis: 2, to: side).folded(axis: 3, to: side) : nil]
    }
  }

  /// The adjoint of repeating the middle of an axis: the axis's middle summed until it has `side` elements.
  private func folded(axis: Int, to side: Int) throws -> Tensor {
    let (middle, extent) = (side / 2, shape[axis])
    if middle == 0 { return try sum(axes: [axis], keepingAxes: true) }
    return try Tensor.concatenated(
      [
        sliced(axis: axis, 0..<middle),
        sliced(axis: axis, middle..<extent - middle).sum(axes: [axis], keepingAxes: true),
        sliced(axis: axis, extent - middle..<extent),
      ], axis: axis)
  }

  /// Rows (slices of axis 0) picked by index, in the order given; an index may occur more than once.
  public func gatheringRows(_ indices: [Int]) throws -> Tensor {
    guard rank >= 1, !indices.isEmpty, indices.allSatisfy({ $0 >= 0 && $0 < shape[0] }) else {
      throw KernelsError.shape(operation: "gather", "indices outside 0 ..< \(shape.first ?? 0), or none")
    }
    let width = count / shape[0]
    let output = try device.allocate(indices.count * width)
    let uploaded = try device.upload(indices.map { UInt32($0) })
    try device.gatherRows(buffer, indices: uploaded, into: output, rows: indices.count, width: width)
    let target = [indices.count] + shape.dropFirst()
    return Tensor(shape: target, device: device, buffer: output).recorded("gather", [self]) { [shape] g, _ in
      [try g.scatteringRows(indices, into: shape)]
    }
  }

  /// The adjoint of `gatheringRows`: row r is added to row `indices[r]` of a zero tensor of shape `target`.
  func scatteringRows(_ indices: [Int], into target: Shape) throws -> Tensor {
    let width = count / shape[0]
    var starts = [UInt32](repeating: 0, count: target[0] + 1)
    for index in indices { starts[index + 1] += 1 }
    for row in 0..<target[0] { starts[row + 1] += starts[row] }
    let order = indices.indices.sorted { (indices[$0], $0) < (indices[$1], $1) }.map { UInt32($0) }
    let output = try device.allocate(target.elementCount)
    try device.gatherRowsGradient(
      buffer, order: device.upload(order), starts: device.upload(starts), into: output, sourceRows: target[0],
      width: width)
    return Tensor(shape: target, device: device, buffer: output).recorded("scatter", [self]) { g, _ in
      [try g.gatheringRows(indices)]
    }
  }

  /// The same values in memory of their own: what changes one of the two in place does not change the other.
  public func copy() throws -> Tensor {
    try copied(
      "copy", shape: shape, from: shape.contiguousStrides, offset: 0, into: shape, to: shape.contiguousStrides, at: 0
    ).recorded("copy", [self]) { g, _ in [g] }
  }

  /// A strided block of this copied into a new tensor of shape `target`, zero elsewhere.
  private func copied(
    _ operation: String, shape block: Shape, from: [Int], offset: Int, into target: Shape, to: [Int], at: Int
  ) throws -> Tensor {
    let layout = try StridedLayout(operation: operation, shape: block, strides: [from, to])
    let output = try device.allocate(target.elementCount)
    if block.elementCount < target.elementCount { try device.fill(output, count: target.elementCount, value: 0) }
    try device.copy(buffer, into: output, layout: layout, xOffset: offset, yOffset: at)
    return Tensor(shape: target, device: device, buffer: output)
  }
}
