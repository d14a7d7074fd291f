/// An axis-aligned rectangle in pixels; the right and bottom edges are outside. Detectors look at thousands of them in loops of
/// other modules, so what is computed of one is inlinable.
public struct Box: Codable, Equatable, Sendable {
  /// The left, top, right and bottom edges.
  public var x0: Float, y0: Float, x1: Float, y1: Float

  /// The box between two corners.
  @inlinable public init(x0: Float, y0: Float, x1: Float, y1: Float) {
    (self.x0, self.y0, self.x1, self.y1) = (x0, y0, x1, y1)
  }

  /// The box of a size around a centre.
  @inlinable public init(centerX: Float, centerY: Float, width: Float, height: Float) {
    self.init(x0: centerX - width / 2, y0: centerY - height / 2, x1: centerX + width / 2, y1: centerY + height / 2)
  }

  /// Negative where the corners are swapped.
  @inlinable public var width: Float { x1 - x0 }
  /// Negative where the corners are swapped.
  @inlinable public var height: Float { y1 - y0 }
  /// Width times height; 0 where either is negative.
  @inlinable public var area: Float { max(0, width) * max(0, height) }
  /// The horizontal place of the centre.
  @inlinable public var centerX: Float { (x0 + x1) / 2 }
  /// The vertical place of the centre.
  @inlinable public var centerY: Float { (y0 + y1) / 2 }

  /// The area shared with another box.
  @inlinable public func intersection(_ other: Box) -> Float {
    max(0, min(x1, other.x1) - max(x0, other.x0)) * max(0, min(y1, other.y1) - max(y0, other.y0))
  }

  /// Intersection over union; 0 for two empty boxes.
  @inlinable public func iou(_ other: Box) -> Float {
    let shared = intersection(other)
    let union = area + other.area - shared
    return union > 0 ? shared / union : 0
  }

  /// The box with its coordinates multiplied.
  @inlinable public func scaled(x: Float, y: Float) -> Box { Box(x0: x0 * x, y0: y0 * y, x1: x1 * x, y1: y1 * y) }

  /// The box moved right by x and down by y.
  @inlinable public func shifted(x: Float, y: Float) -> Box { Box(x0: x0 + x, y0: y0 + y, x1: x1 + x, y1: y1 + y) }

  /// The square of the longer side around the same centre.
  @inlinable public var squared: Box {
    Box(centerX: centerX, centerY: centerY, width: max(width, height), height: max(width, height))
  }
}

/// A place in a picture, in pixels from its top left corner.
public struct Point: Codable, Equatable, Sendable {
  /// To the right, and down.
  public var x: Float, y: Float

  /// The point x pixels to the right and y down.
  @inlinable public init(x: Float, y: Float) { (self.x, self.y) = (x, y) }
}
