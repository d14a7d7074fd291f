import Kernels
import Networks
import Pictures

/// A photo as generators and detectors get it, after an attack if there is one.
struct View {
  let photo: JudgedPhoto
  /// The photo as it is stored, after what the attack does there.
  let image: Image
  private let attack: Purification?
  private let others: OtherPhotos
  private let seed: UInt64
  private let device: any Device

  /// A photo as it is.
  /// - Parameter image: what was made of it; itself by default.
  init(_ photo: JudgedPhoto, image: Image? = nil, device: any Device) {
    (self.photo, self.image, self.device) = (photo, image ?? photo.image, device)
    (attack, seed) = (nil, 0)
    others = { _, _ in [] }
  }

  /// A protected photo after an attack.
  /// - Parameters:
  ///   - protected: what was made of the photo.
  ///   - others: those that the attack may learn from.
  ///   - seed: of what the attack draws.
  init(
    _ photo: JudgedPhoto, _ protected: Image, after attack: Purification?, others: @escaping OtherPhotos, seed: UInt64,
    device: any Device
  ) throws {
    (self.photo, self.attack, self.others, self.seed, self.device) = (photo, attack, others, seed, device)
    var random = RandomStream(seed: seed)
    image =
      try attack?(
        protected,
        collection: { count in
          try Self.joined(others(count, protected).map { try $0.image.tensor(on: device) })
        }, random: &random, on: device) ?? protected
  }

  private static func joined(_ images: [Tensor]) throws -> Tensor? {
    images.isEmpty ? nil : try Tensor.concatenated(images, axis: 0)
  }

  /// A face as a generator gets it, [1, 3, side, side].
  func input(_ generator: any Generator, face: Int) throws -> Tensor {
    let embedded = EmbeddedGenerator(generator)
    func input(_ image: Image, _ box: Box) throws -> Tensor {
      try embedded.input(image.cropped(to: box).tensor(on: device))
    }
    return try purified(input(image, photo.faces[face])) { count in
      try Self.joined(others(count, nil).map { try input($0.image, $0.face) })
    }
  }

  /// The faces that a detector finds, in large photos at full size too. Whoever learns from other photos before the detector looks does so
  /// at one size: the photo is shrunk to it.
  func detections(_ detector: any FaceFinder) throws -> [Detection] {
    guard let attack, attack.recipe.works(at: .network) else { return try detector.detectAll(in: image, on: device) }
    guard attack.recipe.learnsFromOthers else {
      return try detector.detectAll(in: image, on: device) { seen in try purified(seen) { _ in nil } }
    }
    return try detector.detect(image, on: device) { seen in
      try purified(seen) { count in
        try Self.joined(
          others(count, image).map { try $0.image.tensor(shrunkTo: defaultLongestSide, on: device) })
      }
    }
  }

  private func purified(_ images: Tensor, collection: (Int) throws -> Tensor?) throws -> Tensor {
    var random = RandomStream(seed: seed)
    return try attack?(images, at: .network, collection: collection, random: &random) ?? images
  }
}
