import Foundation
import Kernels

/// Square faces of one size held in memory as bytes, ready to be drawn in batches.
public struct FaceSet: Sendable {
  /// Pixels a side.
  public let size: Int
  /// The names of the labels.
  public let attributes: [String]
  /// Of each face 1 where it has the attribute, else 0, in the order of `attributes`; empty without labels.
  public let labels: [[Float]]
  private let pixels: [[UInt8]]

  /// The SHA-256 of all faces and labels: what follows from other faces has another.
  package var digest: String {
    sha256(Data(pixels.flatMap { sha256(Data($0)) } + Data("\(size) \(attributes) \(labels)".utf8))).hexadecimal
  }

  /// The number of faces.
  public var count: Int { pixels.count }

  /// Decodes a dataset's images, cuts the largest centred square and brings it to `size` by averaging or interpolation.
  /// - Throws: `FileError` naming the first that cannot be read.
  public init(_ dataset: Dataset, size: Int) throws {
    var (pixels, labels): ([[UInt8]], [[Float]]) = ([], [])
    let host = CPUDevice()
    for item in dataset.items {
      pixels.append(try squareImage(item.image(), size: size, device: host).bytes)
      labels.append(item.labels)
    }
    (self.size, self.labels, self.pixels) = (size, labels, pixels)
    attributes = dataset.attributes
  }

  /// Faces that are square pictures of one size already.
  public init(images: [Image], attributes: [String], labels: [[Float]]) {
    precondition(images.count == labels.count && !images.isEmpty, "labels for every image")
    self.attributes = attributes
    (size, self.labels, pixels) = (images[0].width, labels, images.map(\.bytes))
  }

  private init(_ parts: [FaceSet]) {
    (size, attributes) = (parts[0].size, parts[0].attributes)
    (labels, pixels) = (parts.flatMap(\.labels), parts.flatMap(\.pixels))
  }

  /// These faces, then others of the same size and labels.
  package func joined(with others: FaceSet) -> FaceSet {
    precondition(size == others.size && attributes == others.attributes, "faces of one size with the same labels")
    return FaceSet([self, others])
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
