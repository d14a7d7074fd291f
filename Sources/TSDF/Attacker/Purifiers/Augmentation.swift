import Kernels

/// The purifiers that faces can be augmented with.
public let augmentationNames = purifierTypes.filter { $0.augmentation != nil }.map { $0.name }

/// Puts half of the images that are trained on through a purifier of random kind and strength, so that what is learned does not
/// rest on what they wash away.
struct Augmentation {
  private let types: [any Purifier.Type]

  /// - Returns: nil where no name is given.
  init?(_ names: [String]) throws {
    types = try names.map { name in
      guard let type = purifierTypes.first(where: { $0.name == name && $0.augmentation != nil }) else {
        throw PurifierError("there is no augmentation \(name); there are \(augmentationNames.joined(separator: ", "))")
      }
      return type
    }
    if types.isEmpty { return nil }
  }

  func callAsFunction(_ images: Tensor, random: inout RandomStream) throws -> Tensor {
    let parts = try (0..<images.shape[0]).map { index in
      let image = try images.slice(index..<index + 1)
      guard random.integer(below: 2) == 1 else { return image }
      let type = types[random.integer(below: types.count)]
      let range = type.augmentation!
      let strength = range.lowerBound + (range.upperBound - range.lowerBound) * random.unit()
      return try type.init(type.takesWholeNumbers ? strength.rounded() : strength)(image, random: &random)
    }
    return try parts.count == 1 ? parts[0] : Tensor.concatenated(parts, axis: 0)
  }
}
