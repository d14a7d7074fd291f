import Kernels
import Networks
import Pictures

/// A photo as generators and detectors get it, after an attack if there is one.
struct View {
  let photo: JudgedPhoto
  /// The photo as it is stored, after what the attack does there.
  let image: Image
  private let attack: Purification?
  /// Other protected photos, for attackers who learn from them, and their faces.
  private let others: [(image: Image, face: Box)]
  private let seed: UInt64
  private let device: any Device

  /// A photo as it is.
  /// - Parameter image: what was made of it; itself by default.
  init(_ photo: JudgedPhoto, image: Image? = nil, device: any Device) {
    (self.photo, self.image, self.device) = (photo, image ?? photo.image, device)
    (attack, others, seed) = (nil, [], 0)
  }

  /// A protected photo after an attack.
  init(
    of index: Int, in protected: [Image], _ photos: [JudgedPhoto], _ attack: Purification?, seed: UInt64,
    device: any Device
  ) throws {
    (photo, self.attack, self.device) = (photos[index], attack, device)
    self.seed = seed &+ UInt64(index)
    let following = Array(index + 1..<photos.count) + Array(0..<index)
    others = following.map { (protected[$0], photos[$0].faces[0]) }
    let (all, stored) = (others, protected[index])
    var random = RandomStream(seed: self.seed)
    image =
      try attack?(
        stored,
        collection: { count in
          try Self.joined(Self.alike(all, stored).prefix(count).map { try $0.tensor(on: device) })
        }, random: &random, on: device) ?? stored
  }

  /// The photos of an image's size.
  private static func alike(_ photos: [(image: Image, face: Box)], _ image: Image) -> some Sequence<Image> {
    photos.lazy.map(\.image).filter { $0.width == image.width && $0.height == image.height }
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
      try Self.joined(others.prefix(count).map { try input($0.image, $0.face) })
    }
  }

  /// The faces that a detector finds.
  func detections(_ detector: any FaceFinder) throws -> [Detection] {
    guard let attack, attack.recipe.works(at: .network) else { return try detector.detect(image, on: device) }
    return try detector.detect(image, on: device) { seen in
      try purified(seen) { count in
        try Self.joined(
          Self.alike(others, image).prefix(count).map { try $0.tensor(shrunkTo: defaultLongestSide, on: device) })
      }
    }
  }

  private func purified(_ images: Tensor, collection: (Int) throws -> Tensor?) throws -> Tensor {
    var random = RandomStream(seed: seed)
    return try attack?(images, at: .network, collection: collection, random: &random) ?? images
  }
}
