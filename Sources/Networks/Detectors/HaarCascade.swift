/// A cascade of boosted trees on rectangles of a grey picture (Viola and Jones, CVPR 2001; Lienhart and Maydt, ICIP 2002): a
/// window that every stage takes for a face is one. `HaarCascade+File.swift` reads OpenCV's files.
struct HaarCascade: Sendable {
  /// Pixels of the window.
  var width: Int, height: Int
  var stages: [Stage] = []
  /// Of all stages, tree by tree.
  var trees: [Tree] = []
  var nodes: [Node] = []
  var leaves: [Float] = []
  var features: [[Rectangle]] = []

  /// Takes a window where its trees' leaves add up to the threshold at least.
  struct Stage: Sendable {
    var trees: Range<Int>
    var threshold: Float
  }

  /// Where a tree's nodes and leaves start.
  struct Tree: Sendable {
    var node: Int, leaf: Int
  }

  /// Goes left where a feature is below the threshold. A way is a later node of the tree, or not above 0 a leaf's number, negated.
  struct Node: Sendable {
    var left: Int, right: Int
    var feature: Int
    var threshold: Float
  }

  /// A rectangle in the window's pixels; a feature is the sum of a few, each pixel counting for the weight.
  struct Rectangle: Sendable {
    var x: Int, y: Int, width: Int, height: Int
    var weight: Float
  }

  /// At most so many rectangles a feature.
  static let rectangleCount = 3

  /// The corners of the windows in a picture that all stages take for a face, of every `step`-th in each direction. One that the
  /// first stage does not take has its neighbour passed over too, as in OpenCV.
  /// - Parameter limit: how many there may be; more are not looked for.
  func windows(in picture: GreyPicture, step: Int, limit: Int) -> [(x: Int, y: Int)] {
    let (columns, rows) = (picture.width + 1 - width, picture.height + 1 - height)
    guard columns > 0, rows > 0 else { return [] }
    var found: [(x: Int, y: Int)] = []
    scanning(picture) { scan in
      for y in stride(from: 0, to: rows, by: step) {
        var x = 0
        while x < columns {
          switch scan.verdict(at: y * scan.stride + x) {
          case .face: found.append((x, y))
          case .noFaceAtOnce: x += step
          case .noFace: break
          }
          x += step
        }
        if found.count > limit { return }
      }
    }
    return found
  }

  private func scanning(_ picture: GreyPicture, _ body: (HaarScan) -> Void) {
    let sums = IntegralSums(picture)
    let placed = features.flatMap { rectangles in
      (0..<Self.rectangleCount).map { index in
        index < rectangles.count ? sums.placed(rectangles[index]) : PlacedRectangle()
      }
    }
    // All but a margin of one pixel says how bright and how varied a window is.
    let inner = sums.placed(Rectangle(x: 1, y: 1, width: width - 2, height: height - 2, weight: 1))
    sums.values.withUnsafeBufferPointer { values in
      sums.squares.withUnsafeBufferPointer { squares in
        placed.withUnsafeBufferPointer { placed in
          stages.withUnsafeBufferPointer { stages in
            trees.withUnsafeBufferPointer { trees in
              nodes.withUnsafeBufferPointer { nodes in
                leaves.withUnsafeBufferPointer { leaves in
                  body(
                    HaarScan(
                      stride: sums.stride, values: values, squares: squares, rectangles: placed, inner: inner,
                      area: Double((width - 2) * (height - 2)), stages: stages, trees: trees, nodes: nodes,
                      leaves: leaves))
                }
              }
            }
          }
        }
      }
    }
  }
}

/// For each place of a picture the sum of what is above and left of it, and that of squares. Sums wrap around; differences within a
/// window do not.
private struct IntegralSums {
  var values: [Int32], squares: [UInt32]
  let stride: Int

  init(_ picture: GreyPicture) {
    stride = picture.width + 1
    values = [Int32](repeating: 0, count: stride * (picture.height + 1))
    squares = [UInt32](repeating: 0, count: values.count)
    for y in 0..<picture.height {
      var (sum, square) = (Int32(0), UInt32(0))
      for x in 0..<picture.width {
        let byte = picture.bytes[y * picture.width + x]
        sum &+= Int32(byte)
        square &+= UInt32(byte) * UInt32(byte)
        let place = (y + 1) * stride + x + 1
        values[place] = values[place - stride] &+ sum
        squares[place] = squares[place - stride] &+ square
      }
    }
  }

  func placed(_ rectangle: HaarCascade.Rectangle) -> PlacedRectangle {
    let top = rectangle.y * stride + rectangle.x
    let bottom = top + rectangle.height * stride
    return PlacedRectangle(
      corners: (top, top + rectangle.width, bottom, bottom + rectangle.width), weight: rectangle.weight)
  }
}

/// A rectangle as offsets of its corners among sums: upper left, upper right, lower left, lower right.
private struct PlacedRectangle {
  var corners = (0, 0, 0, 0)
  var weight: Float = 0
}

/// A cascade on the sums of a picture.
private struct HaarScan {
  let stride: Int
  let values: UnsafeBufferPointer<Int32>, squares: UnsafeBufferPointer<UInt32>
  let rectangles: UnsafeBufferPointer<PlacedRectangle>
  let inner: PlacedRectangle, area: Double
  let stages: UnsafeBufferPointer<HaarCascade.Stage>, trees: UnsafeBufferPointer<HaarCascade.Tree>
  let nodes: UnsafeBufferPointer<HaarCascade.Node>, leaves: UnsafeBufferPointer<Float>

  enum Verdict { case face, noFace, noFaceAtOnce }

  @inline(__always) private func sum(_ rectangle: PlacedRectangle, _ place: Int) -> Int32 {
    let (a, b, c, d) = rectangle.corners
    return values[place + a] &- values[place + b] &- values[place + c] &+ values[place + d]
  }

  /// A feature's value in a window, before it is divided by how varied the window is.
  @inline(__always) private func value(_ feature: Int, _ place: Int) -> Float {
    let first = HaarCascade.rectangleCount * feature
    var value = rectangles[first].weight * Float(sum(rectangles[first], place))
    value += rectangles[first + 1].weight * Float(sum(rectangles[first + 1], place))
    let third = rectangles[first + 2]
    if third.weight != 0 { value += third.weight * Float(sum(third, place)) }
    return value
  }

  /// One divided by the inner pixels' standard deviation and count; nil where a window is flat.
  private func normalization(_ place: Int) -> Float? {
    let (a, b, c, d) = inner.corners
    let sum = Double(sum(inner, place))
    let square = squares[place + a] &- squares[place + b] &- squares[place + c] &+ squares[place + d]
    let variance = area * Double(square) - sum * sum
    guard variance > 0 else { return nil }
    let factor = Float(1 / variance.squareRoot())
    return area * Double(factor) < 0.1 ? factor : nil
  }

  /// - Parameter place: of the window's upper left corner among the sums.
  func verdict(at place: Int) -> Verdict {
    guard let factor = normalization(place) else { return .noFace }
    for (index, stage) in stages.enumerated() {
      var total = 0.0
      for tree in stage.trees {
        let start = trees[tree]
        var way = 0
        repeat {
          let node = nodes[start.node + way]
          way = value(node.feature, place) * factor < node.threshold ? node.left : node.right
        } while way > 0
        total += Double(leaves[start.leaf - way])
      }
      if total < Double(stage.threshold) { return index == 0 ? .noFaceAtOnce : .noFace }
    }
    return .face
  }
}
