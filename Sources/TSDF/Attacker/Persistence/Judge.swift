import Foundation
import Kernels
import Networks
import Pictures

/// Judges a generator, as an attacker has it after some steps, on held-out faces and their protected copies.
final class Judge {
  private let original: any Generator
  let classifier: AttributeClassifier
  private let networks: MetricNetworks
  let photos: [JudgedPhoto]
  private let device: any Device
  private static let batch = 16

  /// - Parameters:
  ///   - original: the generator before any retraining.
  ///   - photos: aligned faces of one size, unprotected.
  init(
    _ original: any Generator, classifier: AttributeClassifier, networks: MetricNetworks, photos: [JudgedPhoto],
    device: any Device
  ) {
    (self.original, self.classifier, self.networks) = (original, classifier, networks)
    (self.photos, self.device) = (photos, device)
  }

  /// What a face is asked for, and which edit that is; the same for a seed whatever is judged.
  private struct Task {
    let edit: Int
    let labels: [Float]
    let attribute: String
    let value: Float
  }

  private func tasks(seed: UInt64) -> [Task] {
    var random = RandomStream(seed: seed &+ 77)
    return photos.map { photo in
      let edit = random.integer(below: original.edits.count)
      let own = photo.labels(named: original.attributes)
      let (attribute, value) = original.asked(edit, labels: own)
      return Task(edit: edit, labels: own, attribute: attribute, value: value)
    }
  }

  /// - Parameters:
  ///   - generator: as retrained.
  ///   - protected: the faces' protected copies.
  ///   - attack: what those are put through first; nil for nothing.
  func measure(
    _ generator: any Generator, protected: [Image], attack: Purification?, seed: UInt64, step: Int
  ) throws -> PersistenceResult.Measurement {
    var result = PersistenceResult.Measurement(
      step: step, own: [], cross: [], drift: [], ssim: [], cleanSuccess: [], protectedSuccess: [])
    let tasks = tasks(seed: seed)
    let inputs = try photos.indices.map { try input($0, protected, attack, seed: seed) }
    let order = tasks.indices.sorted { (tasks[$0].edit, $0) < (tasks[$1].edit, $1) }
    var byFace: [Int: Face] = [:]
    // Generators with tags want edits ascending.
    for first in stride(from: 0, to: order.count, by: Self.batch) {
      let faces = Array(order[first..<min(first + Self.batch, order.count)])
      for (face, judged) in zip(faces, try judge(generator, faces, tasks, inputs, seed: seed)) { byFace[face] = judged }
    }
    for face in tasks.indices {
      let judged = byFace[face]!
      result.own.append(judged.own)
      result.cross.append(judged.cross)
      result.drift.append(judged.drift)
      result.ssim.append(judged.ssim)
      result.cleanSuccess.append(judged.cleanSuccess)
      result.protectedSuccess.append(judged.protectedSuccess)
    }
    let pictures = tasks.indices.map { byFace[$0]!.pictures }
    let (plain, broken) = (pictures.map(\.plain), pictures.map(\.broken))
    let side = generator.imageSize
    if networks.lpips != nil {
      result.lpips = try networks.distances(plain, broken, side: side, on: device)
    }
    if networks.inception != nil {
      result.fid = try frechetDistance(
        networks.features(plain, side: side, on: device), networks.features(broken, side: side, on: device))
    }
    return result
  }

  /// What edits look like, a row a face, for the first few: the original, its protected copy as the generator gets it, the edit of the
  /// original before any retraining, that of the protected copy, and both after it.
  func strip(
    _ generator: any Generator, protected: [Image], attack: Purification?, seed: UInt64, rows: Int = 3
  ) throws -> Image {
    let tasks = tasks(seed: seed)
    var sheet = PictureSheet(cell: original.imageSize)
    for face in 0..<min(rows, photos.count) {
      let (plain, broken) = (try input(face), try input(face, protected, attack, seed: seed))
      func edited(_ generator: any Generator, _ image: Tensor) throws -> Tensor {
        try edits(by: generator, of: image, [face], tasks, seed: seed)
      }
      let pictures = try [
        plain, broken, edited(original, plain), edited(original, broken), edited(generator, plain),
        edited(generator, broken),
      ]
      sheet.addRow(try pictures.map { try Image.images(from: $0)[0] })
    }
    return sheet.image()
  }

  private struct Face {
    var own: Double?, cross: Double?, drift: Double?
    var ssim: Double
    var cleanSuccess: Bool?, protectedSuccess: Bool?
    /// The edits of the original and of the protected copy, planes.
    var pictures: (plain: [Float], broken: [Float])
  }

  private func judge(
    _ generator: any Generator, _ faces: [Int], _ tasks: [Task], _ inputs: [Tensor], seed: UInt64
  ) throws -> [Face] {
    let side = generator.imageSize
    let x = try Tensor.concatenated(faces.map { try input($0) }, axis: 0)
    let protected = try Tensor.concatenated(faces.map { inputs[$0] }, axis: 0)
    func edited(_ generator: any Generator, _ images: Tensor) throws -> Tensor {
      try edits(by: generator, of: images, faces, tasks, seed: seed)
    }
    return try Autograd.withoutRecording {
      let (before, after, broken) = (
        try edited(original, x), try edited(generator, x), try edited(generator, protected)
      )
      let logits = try [after, broken].map { try classifier($0.clamped(to: -1...1)).values() }
      let pixels = try [x, before, after, broken].map { try $0.values() }
      let size = 3 * side * side
      return faces.indices.map { n in
        let part = pixels.map { Array($0[n * size..<(n + 1) * size]) }
        func success(_ logits: [Float]) -> Bool? {
          let task = tasks[faces[n]]
          guard let column = classifier.attributes.firstIndex(of: task.attribute) else { return nil }
          return (logits[n * classifier.attributes.count + column] > 0) == (task.value == 1)
        }
        return Face(
          own: maskedError(original: part[0], edit: part[2], other: part[3]),
          cross: maskedError(original: part[0], edit: part[1], other: part[3]),
          drift: maskedError(original: part[0], edit: part[1], other: part[2]),
          ssim: ssim(part[3], part[2], height: side, width: side), cleanSuccess: success(logits[0]),
          protectedSuccess: success(logits[1]), pictures: (part[2], part[3]))
      }
    }
  }

  /// The edits that faces are asked for; the same styles whatever generator makes them.
  private func edits(
    by generator: any Generator, of images: Tensor, _ faces: [Int], _ tasks: [Task], seed: UInt64
  ) throws -> Tensor {
    var random = RandomStream(seed: seed &+ UInt64(faces[0]))
    let condition = try generator.condition(
      faces.map { tasks[$0].edit }, labels: faces.map { tasks[$0].labels }, random: &random, device: device)
    return try generator(images, condition: condition).image
  }

  /// A face as generators get it.
  private func input(_ face: Int) throws -> Tensor {
    try View(photos[face], device: device).input(original, face: 0)
  }

  /// Its protected copy, after the attack.
  private func input(_ face: Int, _ protected: [Image], _ attack: Purification?, seed: UInt64) throws -> Tensor {
    let others = followers(of: face, among: photos.count) { [photos] in (protected[$0], photos[$0].faces[0]) }
    return try View(
      photos[face], protected[face], after: attack, others: others, seed: seed &+ UInt64(face), device: device
    ).input(original, face: 0)
  }
}
