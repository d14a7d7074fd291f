import Foundation
import Kernels

extension HaarCascade {
  /// Of all files of OpenCV the largest has a ninth of this in bytes, and two thirds in nodes.
  private static let largestFile = 24 << 20, largestNodeCount = 12_000
  private static let windowSides = 4...256

  /// A file of OpenCV's, `haarcascade_*.xml`.
  /// - Throws: `FileError` when it is none, or one with tilted rectangles, or does not hold what it says.
  init(contentsOf url: URL) throws {
    let file = try MappedFile(url)
    guard file.data.count <= Self.largestFile else {
      throw FileError(url.path, "is no cascade: it has more than \(Self.largestFile) bytes")
    }
    try self.init(file.data, path: url.path)
  }

  init(_ data: Data, path: String) throws {
    let storage = try MarkupElement.read(data, path: path)
    guard storage.name == "opencv_storage", let cascade = storage.children.first else {
      throw FileError(path, "is no cascade of OpenCV's: its outermost element is \(storage.name)")
    }
    guard cascade.attributes["type_id"] == "opencv-cascade-classifier" else {
      throw FileError(path, "is not of the form that OpenCV's cascades have had since version 2.4")
    }
    let part = CascadePart(cascade, "the cascade", path)
    for (name, value) in [("stageType", "BOOST"), ("featureType", "HAAR")] {
      let found = try part.text(name)
      guard found == value else { throw part.error("has the \(name) \(found), not \(value)") }
    }
    self.init(
      width: try part.number("width", in: Self.windowSides), height: try part.number("height", in: Self.windowSides))
    try readFeatures(part.elements("features", named: "feature"))
    for stage in try part.elements("stages", named: "stage") { try readStage(stage) }
  }

  private mutating func readFeatures(_ elements: [CascadePart]) throws {
    for feature in elements {
      guard feature.child("tilted").map({ $0.trimmedText == "0" }) ?? true else {
        throw feature.error("is of tilted rectangles, which are not computed here")
      }
      let rectangles = try feature.elements("rects", named: "rectangle").map { part in
        let values = try part.numbers()
        guard values.count == 5, let x = Int(exactly: values[0]), let y = Int(exactly: values[1]),
          let w = Int(exactly: values[2]), let h = Int(exactly: values[3]), (0..<width).contains(x),
          (0..<height).contains(y), (1...width - x).contains(w), (1...height - y).contains(h)
        else { throw part.error("is none in a window of \(width)x\(height)") }
        return Rectangle(x: x, y: y, width: w, height: h, weight: Float(values[4]))
      }
      guard rectangles.count <= Self.rectangleCount else {
        throw feature.error("has \(rectangles.count) rectangles, more than \(Self.rectangleCount)")
      }
      features.append(rectangles)
    }
  }

  private mutating func readStage(_ stage: CascadePart) throws {
    let first = trees.count
    for tree in try stage.elements("weakClassifiers", named: "tree") {
      let (values, leafValues) = (try tree.numbers(of: "internalNodes"), try tree.numbers(of: "leafValues"))
      guard !values.isEmpty, values.count % 4 == 0 else { throw tree.error("has nodes that are not four numbers each") }
      let count = values.count / 4
      guard nodes.count + count <= Self.largestNodeCount else {
        throw stage.error("comes to more than \(Self.largestNodeCount) nodes")
      }
      trees.append(Tree(node: nodes.count, leaf: leaves.count))
      for index in 0..<count {
        // A later node of the tree, so that every way ends, or a leaf.
        func way(_ value: Double) throws -> Int {
          guard let way = Int(exactly: value), way > index && way < count || way <= 0 && way > -leafValues.count else {
            throw tree.error("has a node that leads nowhere")
          }
          return way
        }
        guard let feature = Int(exactly: values[4 * index + 2]), features.indices.contains(feature) else {
          throw tree.error("asks for a feature that there is none of")
        }
        nodes.append(
          Node(
            left: try way(values[4 * index]), right: try way(values[4 * index + 1]), feature: feature,
            threshold: Float(values[4 * index + 3])))
      }
      leaves += leafValues.map { Float($0) }
    }
    // OpenCV lowers thresholds by this, for what rounding takes from the sums.
    let threshold = Float(try stage.number("stageThreshold")) - 1e-5
    stages.append(Stage(trees: first..<trees.count, threshold: threshold))
  }
}

/// An element of a cascade's file, and how it is called in messages.
private struct CascadePart {
  private let element: MarkupElement
  private let name: String
  private let path: String

  init(_ element: MarkupElement, _ name: String, _ path: String) {
    (self.element, self.name, self.path) = (element, name, path)
  }

  func error(_ message: String) -> FileError { FileError(path, "\(name) \(message)") }

  func child(_ name: String) -> MarkupElement? { element.child(name) }

  private func require(_ name: String) throws -> MarkupElement {
    guard let child = element.child(name) else { throw error("has no \(name)") }
    return child
  }

  func text(_ name: String) throws -> String { try require(name).trimmedText }

  /// The elements of a list, of which there is one at least.
  func elements(_ list: String, named kind: String) throws -> [CascadePart] {
    let children = try require(list).children
    guard !children.isEmpty else { throw error("has no \(list)") }
    return children.enumerated().map { index, child in
      CascadePart(child, "\(name == "the cascade" ? "" : "\(name), ")\(kind) \(index + 1)", path)
    }
  }

  /// The finite numbers that it consists of.
  func numbers() throws -> [Double] { try numbers(element) }

  func numbers(of name: String) throws -> [Double] { try numbers(require(name)) }

  private func numbers(_ element: MarkupElement) throws -> [Double] {
    try element.text.split(whereSeparator: \.isWhitespace).map { word in
      guard let value = Double(word), abs(value) <= 1e30 else { throw error("has \(word) for a number") }
      return value
    }
  }

  func number(_ name: String) throws -> Double {
    let values = try numbers(of: name)
    guard values.count == 1 else { throw error("has a \(name) of \(values.count) numbers") }
    return values[0]
  }

  func number(_ name: String, in range: ClosedRange<Int>) throws -> Int {
    guard let value = Int(exactly: try number(name)), range.contains(value) else {
      throw error("has a \(name) out of \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }
}

extension MarkupElement {
  fileprivate var trimmedText: String { text.trimmingCharacters(in: .whitespacesAndNewlines) }
}
