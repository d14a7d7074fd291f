import Foundation
import Kernels

/// Faces with binary attributes: a folder of images and, beside it or in it, a list in CelebA's `list_attr` format:
/// the count, the attribute names, then `FILE v v v ...` with v = 1 or -1.
public struct Dataset: Sendable {
  public struct Item: Sendable {
    public let url: URL
    /// 1 where the face has the attribute, else 0, in the order of `attributes`.
    public let labels: [Float]

    /// The picture, upright.
    package func image() throws -> Image {
      let file = try ImageFile(contentsOf: url)
      return file.image.upright(from: file.orientation)
    }
  }

  public let attributes: [String]
  public let items: [Item]

  /// A labelled dataset. Looks for `list_attr*.txt` in `directory` and for the images in `directory/images` or in
  /// `directory` itself.
  /// - Parameter selecting: the attributes to keep, in this order; all by default.
  /// - Throws: `FileError` naming the list and the line at fault.
  public init(labelled directory: URL, selecting: [String]? = nil) throws {
    let contents = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
    guard let list = contents.filter({ $0.hasPrefix("list_attr") && $0.hasSuffix(".txt") }).sorted().first else {
      throw FileError(directory.path, "has no list_attr*.txt with the faces' attributes")
    }
    let listURL = directory.appendingPathComponent(list)
    let text = try String(contentsOf: listURL, encoding: .utf8)
    let lines = text.split(whereSeparator: \.isNewline)
    guard lines.count > 2, Int(lines[0].trimmingCharacters(in: .whitespaces)) != nil else {
      throw FileError(listURL.path, "is not a list in CelebA's format (a count, the names, then a line an image)")
    }
    let names = lines[1].split(separator: " ").map(String.init)
    let chosen = selecting ?? names
    let columns = try chosen.map { name -> Int in
      guard let column = names.firstIndex(of: name) else {
        throw FileError(listURL.path, "has no attribute \(name); it has \(names.joined(separator: ", "))")
      }
      return column
    }
    let images = directory.appendingPathComponent("images")
    let base = FileManager.default.fileExists(atPath: images.path) ? images : directory
    attributes = chosen
    items = try lines.dropFirst(2).enumerated().map { index, line in
      let fields = line.split(separator: " ")
      let values = fields.dropFirst().compactMap { Int($0) }
      guard fields.count == names.count + 1, values.count == names.count else {
        throw FileError(listURL.path, "line \(index + 3) does not hold a file and \(names.count) values")
      }
      return Item(
        url: base.appendingPathComponent(String(fields[0])), labels: columns.map { values[$0] > 0 ? 1 : 0 })
    }
  }

  /// A folder of images without labels, in the order of their names.
  public init(images directory: URL) throws {
    let work = try WorkList([directory.path])
    if let failure = work.failures.first { throw failure }
    attributes = []
    items = work.items.map { Item(url: $0.url, labels: []) }
  }

  private init(attributes: [String], items: [Item]) { (self.attributes, self.items) = (attributes, items) }

  /// Some of the items.
  public subscript(range: Range<Int>) -> Dataset { Dataset(attributes: attributes, items: Array(items[range])) }

  public var count: Int { items.count }
}

/// Square faces of one size held in memory as bytes, ready to be drawn in batches.
public struct FaceSet: Sendable {
  /// Pixels a side.
  public let size: Int
  /// The names of the labels.
  public let attributes: [String]
  public let labels: [[Float]]
  private let pixels: [[UInt8]]

  public var count: Int { pixels.count }

  /// Decodes a dataset's images, cuts the largest centred square and brings it to `size` by averaging or interpolation.
  public init(_ dataset: Dataset, size: Int) throws {
    var pixels = [[UInt8]](repeating: [], count: dataset.count)
    let host = CPUDevice()
    for (index, item) in dataset.items.enumerated() {
      pixels[index] = try squareImage(item.image(), size: size, device: host).bytes
    }
    (self.size, self.labels, self.pixels) = (size, dataset.items.map(\.labels), pixels)
    attributes = dataset.attributes
  }

  /// Faces that are square pictures of one size already.
  public init(images: [Image], attributes: [String], labels: [[Float]]) {
    precondition(images.count == labels.count && !images.isEmpty, "labels for every image")
    self.attributes = attributes
    (size, self.labels, pixels) = (images[0].width, labels, images.map(\.bytes))
  }

  /// A face's labels of these names, in this order; nothing where it lacks one.
  public func labels(of index: Int, named names: [String]) -> [Float] {
    selectLabels(labels[index], of: attributes, named: names)
  }

  /// The faces at `indices` as [N, 3, size, size] in [-1, 1], those marked in `mirrored` flipped left to right.
  public func batch(_ indices: [Int], mirrored: [Bool]? = nil, on device: any Device) throws -> Tensor {
    let area = size * size
    var values = [Float](repeating: 0, count: indices.count * 3 * area)
    for (n, index) in indices.enumerated() {
      let flip = mirrored?[n] ?? false
      for y in 0..<size {
        for x in 0..<size {
          let from = (y * size + (flip ? size - 1 - x : x)) * 3
          for channel in 0..<3 {
            values[(n * 3 + channel) * area + y * size + x] = Float(pixels[index][from + channel]) / 127.5 - 1
          }
        }
      }
    }
    return try Tensor(values, shape: [indices.count, 3, size, size], device: device)
  }

  /// The labels at `indices` as [N, attributes].
  public func labelBatch(_ indices: [Int], on device: any Device) throws -> Tensor {
    try Tensor(
      indices.flatMap { labels[$0] }, shape: [indices.count, labels[indices[0]].count], device: device)
  }
}

/// The labels of these names, in this order, out of those of `attributes`; nothing where one is missing.
package func selectLabels(_ labels: [Float], of attributes: [String], named names: [String]) -> [Float] {
  let columns = names.compactMap { attributes.firstIndex(of: $0) }
  return columns.count == names.count ? columns.map { labels[$0] } : []
}

/// The largest centred square of a picture as 8-bit RGB of `size` pixels a side.
public func squareImage(_ image: Image, size: Int, device: any Device) throws -> Image {
  let side = min(image.width, image.height)
  let square = image.cropped(x: (image.width - side) / 2, y: (image.height - side) / 2, width: side, height: side)
  let resized = try square.tensor(on: device).resized(height: size, width: size, mode: side > size ? .area : .bilinear)
  return Image(planes: try resized.values(), width: size, height: size)
}
