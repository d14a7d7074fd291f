import Kernels

/// The edit of a clean image that the edit of its protected copy is to differ from, and where that counts.
struct EditTarget {
  /// [N, 3, H, W].
  let image: Tensor
  /// [N, 1, H, W], of a sum of 1 / 3 an image; nil where all pixels count alike.
  private let weights: Tensor?

  /// Differences anywhere count.
  init(_ image: Tensor) { (self.image, weights) = (image, nil) }

  /// Differences count within the edit's mask (method section 5), and anywhere where that is empty.
  /// - Parameter input: what the edit is of.
  init(_ image: Tensor, changed input: Tensor) throws {
    self.image = image
    let change = try (image - input).abs().sum(axes: [1], keepingAxes: true)
    let mask = try change.greater(than: Tensor(repeating: 0.5, shape: [1], device: image.device))
    let count = try mask.sum(axes: [1, 2, 3], keepingAxes: true)
    let isEmpty = try 1 - count.clamped(to: 0...1)
    let (height, width) = (Float(image.shape[2]), Float(image.shape[3]))
    weights = try (mask + isEmpty) / ((count + isEmpty * (height * width)) * 3)
  }

  private init(image: Tensor, weights: Tensor?) { (self.image, self.weights) = (image, weights) }

  func slice(_ range: Range<Int>) throws -> EditTarget {
    EditTarget(image: try image.slice(range), weights: try weights?.slice(range))
  }

  /// Those of several batches as of one; where one counts only its edit's mask, all do.
  static func joined(_ batches: [EditTarget]) throws -> EditTarget {
    guard batches.count > 1 else { return batches[0] }
    let weights = batches.compactMap(\.weights)
    return EditTarget(
      image: try Tensor.concatenated(batches.map(\.image), axis: 0),
      weights: weights.isEmpty ? nil : try Tensor.concatenated(weights, axis: 0))
  }

  /// The mean squared difference where it counts, [N].
  func error(of edit: Tensor) throws -> Tensor {
    let squared = try (edit - image).squared()
    guard let weights else { return try squared.mean(axes: [1, 2, 3]) }
    return try (squared * weights).sum(axes: [1, 2, 3])
  }
}
