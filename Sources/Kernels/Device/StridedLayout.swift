/// An index space of at most four axes with element strides into two or more tensors: what the broadcasting and
/// copying kernels run over.
public struct StridedLayout: Sendable {
  /// Extents, outermost first, padded with leading ones to four axes.
  public private(set) var shape: [Int]
  /// For each operand its four strides; 0 repeats along an axis.
  public private(set) var strides: [[Int]]

  /// Merges neighbouring axes that every operand walks as one, so that most layouts fit four axes.
  /// - Throws: `KernelsError.shape` when more than four axes remain.
  init(operation: String, shape: [Int], strides: [[Int]]) throws {
    var merged: [Int] = []
    var mergedStrides = strides.map { _ in [Int]() }
    for axis in shape.indices where shape[axis] != 1 {
      let joins =
        !merged.isEmpty
        && strides.indices.allSatisfy { mergedStrides[$0].last! == strides[$0][axis] &* shape[axis] }
      if joins {
        merged[merged.count - 1] &*= shape[axis]
        for operand in strides.indices { mergedStrides[operand][merged.count - 1] = strides[operand][axis] }
      } else {
        merged.append(shape[axis])
        for operand in strides.indices { mergedStrides[operand].append(strides[operand][axis]) }
      }
    }
    guard merged.count <= 4 else {
      throw KernelsError.shape(
        operation: operation, "shape \(shape) has more than four axes that do not merge; permute or reshape it first")
    }
    let lead = 4 - merged.count
    self.shape = [Int](repeating: 1, count: lead) + merged
    self.strides = mergedStrides.map { [Int](repeating: 0, count: lead) + $0 }
  }

  /// The number of rows along the innermost axis.
  var rows: Int { shape[0] * shape[1] * shape[2] }
}

/// The shape that `a` and `b` broadcast to, by NumPy's rule: aligned at the end, extents equal or 1.
func broadcastShape(_ operation: String, _ a: Shape, _ b: Shape) throws -> Shape {
  let rank = max(a.count, b.count)
  let left = [Int](repeating: 1, count: rank - a.count) + a
  let right = [Int](repeating: 1, count: rank - b.count) + b
  return try zip(left, right).map { x, y in
    guard x == y || x == 1 || y == 1 else {
      throw KernelsError.shape(operation: operation, "shapes \(a) and \(b) do not broadcast")
    }
    return max(x, y)
  }
}

/// Strides of a contiguous tensor of `shape` seen as `target` (broadcast axes get stride 0).
func broadcastStrides(_ shape: Shape, to target: Shape) -> [Int] {
  let lead = target.count - shape.count
  let strides = shape.contiguousStrides
  return target.indices.map { axis in
    axis < lead || shape[axis - lead] == 1 ? 0 : strides[axis - lead]
  }
}
