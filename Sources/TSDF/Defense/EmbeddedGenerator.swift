import Kernels

/// A generator as crafting uses it: images of the perturbation's size go in, are brought to the generator's own size,
/// and one edit a face is asked for.
struct EmbeddedGenerator {
  let generator: any Generator

  /// The generator's view of images of any size.
  func input(_ images: Tensor) throws -> Tensor {
    let side = generator.imageSize
    return try images.resized(height: side, width: side, mode: images.shape[2] > side ? .area : .bilinear)
  }

  func callAsFunction(_ images: Tensor, condition: Condition) throws -> GeneratorOutput {
    try generator(input(images), condition: condition)
  }

  /// Conditions for a random edit of each face.
  func conditions(_ labels: [[Float]], random: inout RandomStream, device: any Device) throws -> Condition {
    let edits = labels.map { _ in random.integer(below: generator.edits.count) }
    return try generator.condition(edits, labels: labels, random: &random, device: device)
  }
}

/// The mean squared difference of two batches, image by image: [N].
func squaredErrorByImage(_ a: Tensor, _ b: Tensor) throws -> Tensor { try (a - b).squared().mean(axes: [1, 2, 3]) }
