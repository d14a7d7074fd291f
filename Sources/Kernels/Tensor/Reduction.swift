extension Tensor {
  /// The sum over `axes` (all of them by default).
  public func sum(axes: [Int]? = nil, keepingAxes: Bool = false) throws -> Tensor {
    let (axes, kept, reduced) = try reductionShape("sum", axes, keepingAxes)
    return try folded(.sum, axes).reshaped(reduced).recorded("sum", [self]) { [shape] g, _ in
      [try g.reshaped(kept).broadcast(to: shape)]
    }
  }

  /// The mean over `axes` (all of them by default).
  public func mean(axes: [Int]? = nil, keepingAxes: Bool = false) throws -> Tensor {
    let total = try sum(axes: axes, keepingAxes: keepingAxes)
    return try total / Float(count / total.count)
  }

  /// The largest element over `axes` (all of them by default). Equal maxima share the gradient.
  public func max(axes: [Int]? = nil, keepingAxes: Bool = false) throws -> Tensor {
    let (axes, kept, reduced) = try reductionShape("max", axes, keepingAxes)
    let largest = try folded(.max, axes)
    return try largest.reshaped(reduced).recorded("max", [self]) { [self] g, _ in
      let mask = try Tensor.binary(.equal, detached(), largest.reshaped(kept))
      let share = try mask / mask.sum(axes: axes, keepingAxes: true)
      return [try share * g.reshaped(kept)]
    }
  }

  /// e^x over its sum along `axis`.
  public func softmax(axis: Int) throws -> Tensor {
    let exponentials = try (self - detached().max(axes: [axis], keepingAxes: true)).exp()
    return try exponentials / exponentials.sum(axes: [axis], keepingAxes: true)
  }

  /// log of the sum of e^x along `axis`, without overflow; the axis is dropped.
  public func logSumExp(axis: Int) throws -> Tensor {
    let largest = try detached().max(axes: [axis], keepingAxes: true)
    let sum = try (self - largest).exp().sum(axes: [axis])
    return try sum.log() + largest.reshaped(sum.shape)
  }

  /// The reduced axes in order, the shape with them at extent 1, and the shape to return.
  private func reductionShape(_ operation: String, _ axes: [Int]?, _ keepingAxes: Bool) throws -> ([Int], Shape, Shape)
  {
    let axes = (axes ?? Array(shape.indices)).sorted()
    guard axes.allSatisfy(shape.indices.contains), Set(axes).count == axes.count else {
      throw KernelsError.shape(operation: operation, "axes \(axes) are not axes of \(shape)")
    }
    let kept = shape.indices.map { axes.contains($0) ? 1 : shape[$0] }
    let dropped = shape.indices.filter { !axes.contains($0) }.map { shape[$0] }
    return (axes, kept, keepingAxes ? kept : dropped)
  }

  /// The values reduced over sorted axes, runs of neighbouring axes at a time, innermost first.
  private func folded(_ operation: ReductionOperation, _ axes: [Int]) throws -> Tensor {
    var current = buffer
    var extents = shape
    var remaining = axes.filter { shape[$0] != 1 }
    while let last = remaining.popLast() {
      var first = last
      while let next = remaining.last, next == first - 1 {
        first = next
        remaining.removeLast()
      }
      let outer = extents[..<first].reduce(1, *)
      let length = extents[first...last].reduce(1, *)
      let inner = extents[(last + 1)...].reduce(1, *)
      let output = try device.allocate(outer * inner)
      try device.reduce(operation, current, into: output, outer: outer, length: length, inner: inner)
      for axis in first...last { extents[axis] = 1 }
      current = output
    }
    return Tensor(shape: shape.indices.map { axes.contains($0) ? 1 : shape[$0] }, device: device, buffer: current)
  }
}
