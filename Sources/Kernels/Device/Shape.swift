/// The extents of a tensor, outermost axis first; images are [N, C, H, W].
public typealias Shape = [Int]

/// The largest extent, padding, stride or the like: sums of products of two do not overflow.
let largestExtent = 1 << 30

extension Array where Element == Int {
  /// The number of elements of a tensor of this shape; `Int.max`, which no device holds, where an extent is negative or
  /// the product overflows.
  package var elementCount: Int { checkedElementCount ?? .max }

  /// The same; nil where an extent is negative or the product overflows.
  var checkedElementCount: Int? {
    var count = 1
    for extent in self {
      let product = count.multipliedReportingOverflow(by: extent)
      guard extent >= 0, !product.overflow else { return nil }
      count = product.partialValue
    }
    return count
  }

  /// The element distance between neighbours along each axis of a contiguous tensor.
  var contiguousStrides: [Int] {
    var strides = self
    var next = 1
    for axis in indices.reversed() {
      strides[axis] = next
      // Wrapped strides belong to shapes that nothing is allocated for.
      next &*= self[axis]
    }
    return strides
  }
}
