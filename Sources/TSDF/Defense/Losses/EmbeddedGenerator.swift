import Kernels
import Networks

/// A generator as crafting uses it: images of the perturbation's size go in, are brought to the generator's own size,
/// and one edit a face is asked for.
struct EmbeddedGenerator {
  let generator: any Generator
  /// The part of the images that an attacker would cut out for it; nil for all.
  let part: ImagePart?

  init(_ generator: any Generator, part: ImagePart? = nil) { (self.generator, self.part) = (generator, part) }

  /// The generator's view of images of any size.
  func input(_ images: Tensor) throws -> Tensor {
    let side = generator.imageSize
    let images = try part?.cut(images) ?? images
    return try images.resized(height: side, width: side, mode: images.shape[2] > side ? .area : .bilinear)
  }

  func callAsFunction(_ images: Tensor, condition: Condition) throws -> GeneratorOutput {
    try generator(input(images), condition: condition)
  }

  /// The same outside any graph, in slices where the batch does not fit.
  func plain(_ images: Tensor, condition: Condition, _ slicer: BatchSlicer) throws -> GeneratorOutput {
    let made = try slicer.map(count: images.shape[0]) {
      let output = try self(images.slice($0), condition: condition.slice($0))
      return [output.image, output.feature]
    }
    return GeneratorOutput(image: made[0], feature: made[1])
  }

  /// Conditions for a random edit of each face.
  func conditions(_ labels: [[Float]], random: inout RandomStream, device: any Device) throws -> Condition {
    let edits = labels.map { _ in random.integer(below: generator.edits.count) }
    return try generator.condition(edits, labels: labels, random: &random, device: device)
  }
}
