import Foundation
import Kernels
import Pictures

/// MTCNN (Zhang et al., 2016): P-Net proposes over an image pyramid, R-Net and O-Net refine crops. Parameters carry the
/// names of facenet-pytorch's files under `pnet.`, `rnet.`, `onet.`; the cascade is its `detect_face`.
package final class MTCNN: FaceDetector {
  package static let name = "mtcnn"

  package let inventablePriorArea: Float? = nil

  private let parameters: [String: Tensor]
  /// The smallest face looked for, in pixels, and the step between the scales of the pyramid.
  private let smallestFace: Float = 20
  private let factor: Float = 0.709
  private let thresholds: [Float] = [0.6, 0.7, 0.7]

  private static let shapes: [String: [Int]] = {
    var all: [String: [Int]] = [:]
    func convolution(_ net: String, _ index: String, _ shape: [Int]) {
      all["\(net).conv\(index).weight"] = shape
      all["\(net).conv\(index).bias"] = [shape[0]]
    }
    func dense(_ net: String, _ index: String, _ shape: [Int]) {
      all["\(net).dense\(index).weight"] = shape
      all["\(net).dense\(index).bias"] = [shape[0]]
    }
    func activations(_ net: String, _ channels: [Int]) {
      for (i, count) in channels.enumerated() { all["\(net).prelu\(i + 1).weight"] = [count] }
    }
    convolution("pnet", "1", [10, 3, 3, 3])
    convolution("pnet", "2", [16, 10, 3, 3])
    convolution("pnet", "3", [32, 16, 3, 3])
    convolution("pnet", "4_1", [2, 32, 1, 1])
    convolution("pnet", "4_2", [4, 32, 1, 1])
    activations("pnet", [10, 16, 32])
    convolution("rnet", "1", [28, 3, 3, 3])
    convolution("rnet", "2", [48, 28, 3, 3])
    convolution("rnet", "3", [64, 48, 2, 2])
    dense("rnet", "4", [128, 576])
    dense("rnet", "5_1", [2, 128])
    dense("rnet", "5_2", [4, 128])
    activations("rnet", [28, 48, 64, 128])
    convolution("onet", "1", [32, 3, 3, 3])
    convolution("onet", "2", [64, 32, 3, 3])
    convolution("onet", "3", [64, 64, 3, 3])
    convolution("onet", "4", [128, 64, 2, 2])
    dense("onet", "5", [256, 1152])
    dense("onet", "6_1", [2, 256])
    dense("onet", "6_2", [4, 256])
    dense("onet", "6_3", [10, 256])
    activations("onet", [32, 64, 64, 128, 256])
    return all
  }()

  /// The nets of the cascade.
  package static let netNames = ["pnet", "rnet", "onet"]

  /// All three nets of one file.
  package init(_ state: StateDictionary) throws {
    var parameters: [String: Tensor] = [:]
    for (name, shape) in Self.shapes { parameters[name] = try state.require(name, shape) }
    try state.requireNothing(besides: Set(parameters.keys))
    self.parameters = parameters
  }

  /// One net (pnet, rnet, onet) for `forward` alone: of a file of all three, or of its own file, without the prefix.
  package init(net: String, _ state: StateDictionary) throws {
    let isBare = state.tensors["\(net).conv1.weight"] == nil
    var parameters: [String: Tensor] = [:]
    for (name, shape) in Self.shapes where name.hasPrefix(net + ".") {
      parameters[name] = try state.require(isBare ? String(name.dropFirst(net.count + 1)) : name, shape)
    }
    self.parameters = parameters
  }

  private func convolve(_ x: Tensor, _ net: String, _ index: Int) throws -> Tensor {
    try x.convolved(
      with: parameters["\(net).conv\(index).weight"]!, bias: parameters["\(net).conv\(index).bias"]!,
      activation: .prelu(parameters["\(net).prelu\(index).weight"]!))
  }

  private func dense(_ x: Tensor, _ name: String) throws -> Tensor {
    try x.linear(weight: parameters["\(name).weight"]!, bias: parameters["\(name).bias"]!)
  }

  /// Columns first, as the weights were trained in MATLAB's order.
  private func flattened(_ x: Tensor) throws -> Tensor { try x.permuted([0, 3, 2, 1]).reshaped([x.shape[0], -1]) }

  /// The nets take (v - 127.5) / 128 for v on 0...255.
  private func preprocessed(_ images: Tensor) throws -> Tensor { try images * (127.5 / 128) }

  /// P-Net: face logits [N, 2, h, w] and box offsets [N, 4, h, w] of preprocessed images.
  package func proposals(_ x: consuming Tensor) throws -> (logits: Tensor, offsets: Tensor) {
    // Each layer's input is released before the next layer's output is made: of a large photo they are what fills memory.
    var x = x
    x = try convolve(x, "pnet", 1)
    x = try x.maxPooled(size: 2, ceilMode: true)
    x = try convolve(x, "pnet", 2)
    x = try convolve(x, "pnet", 3)
    func head(_ name: String) throws -> Tensor {
      try x.convolved(with: parameters["pnet.\(name).weight"]!, bias: parameters["pnet.\(name).bias"]!)
    }
    return (try head("conv4_1"), try head("conv4_2"))
  }

  /// R-Net: face logits [N, 2] and box offsets [N, 4] of preprocessed 24x24 crops.
  package func refinements(_ x: Tensor) throws -> (logits: Tensor, offsets: Tensor) {
    var x = try convolve(x, "rnet", 1).maxPooled(size: 3, stride: 2, ceilMode: true)
    x = try convolve(x, "rnet", 2).maxPooled(size: 3, stride: 2, ceilMode: true)
    x = try dense(flattened(convolve(x, "rnet", 3)), "rnet.dense4").prelu(slope: parameters["rnet.prelu4.weight"]!)
    return (try dense(x, "rnet.dense5_1"), try dense(x, "rnet.dense5_2"))
  }

  /// O-Net: face logits [N, 2], box offsets [N, 4] and landmarks [N, 10] of preprocessed 48x48 crops.
  package func outputs(_ x: Tensor) throws -> (logits: Tensor, offsets: Tensor, landmarks: Tensor) {
    var x = try convolve(x, "onet", 1).maxPooled(size: 3, stride: 2, ceilMode: true)
    x = try convolve(x, "onet", 2).maxPooled(size: 3, stride: 2, ceilMode: true)
    x = try convolve(x, "onet", 3).maxPooled(size: 2, ceilMode: true)
    x = try dense(flattened(convolve(x, "onet", 4)), "onet.dense5").prelu(slope: parameters["onet.prelu5.weight"]!)
    return (try dense(x, "onet.dense6_1"), try dense(x, "onet.dense6_2"), try dense(x, "onet.dense6_3"))
  }

  /// One of the three nets by name (pnet, rnet, onet) on images in [-1, 1]: logits and box offsets as it lays them out.
  package func forward(_ net: String, _ images: Tensor) throws -> (logits: Tensor, offsets: Tensor) {
    let x = try preprocessed(images)
    switch net {
    case "pnet": return try proposals(x)
    case "rnet": return try refinements(x)
    case "onet":
      let found = try outputs(x)
      return (found.logits, found.offsets)
    default: throw FileError(net, "is none of MTCNN's nets (pnet, rnet, onet)")
    }
  }

  // MARK: The dense stage

  /// The pyramid's scales for an image, largest first.
  private func scales(height: Int, width: Int) -> [Float] {
    var scale = 12 / smallestFace
    var shorter = Float(min(height, width)) * scale
    var all: [Float] = []
    while shorter >= 12 {
      all.append(scale)
      scale *= factor
      shorter *= factor
    }
    return all
  }

  private func levelSize(_ height: Int, _ width: Int, _ scale: Float) -> (height: Int, width: Int) {
    (Int(Float(height) * scale + 1), Int(Float(width) * scale + 1))
  }

  /// A level of the pyramid as P-Net takes it.
  private func level(_ images: Tensor, _ scale: Float) throws -> Tensor {
    let size = levelSize(images.shape[2], images.shape[3], scale)
    return try preprocessed(images.resized(height: size.height, width: size.width, mode: .area))
  }

  /// P-Net's cells along an extent: a 3x3 convolution, pooling by two in ceil mode, two more 3x3 convolutions.
  private func cells(_ extent: Int) -> Int { (extent - 2 + 1) / 2 - 4 }

  /// The region in the image that a cell of the pyramid's level looks at.
  private func cellBox(_ row: Int, _ column: Int, _ scale: Float) -> Box {
    Box(
      x0: (Float(2 * column + 1) / scale).rounded(.down), y0: (Float(2 * row + 1) / scale).rounded(.down),
      x1: (Float(2 * column + 12) / scale).rounded(.down), y1: (Float(2 * row + 12) / scale).rounded(.down))
  }

  package func priorBoxes(height: Int, width: Int) -> [Box] {
    scales(height: height, width: width).flatMap { scale -> [Box] in
      let size = levelSize(height, width, scale)
      let (rows, columns) = (cells(size.height), cells(size.width))
      return (0..<max(0, rows * columns)).map { cellBox($0 / columns, $0 % columns, scale) }
    }
  }

  /// P-Net over the whole pyramid; its last hidden maps of the finest three levels are the features.
  package func heads(_ images: Tensor) throws -> DetectorHeads {
    let all = scales(height: images.shape[2], width: images.shape[3])
    guard !all.isEmpty else {
      throw KernelsError.shape(operation: "MTCNN", "images \(images.shape) are smaller than the smallest face")
    }
    var logits: [Tensor] = []
    var offsets: [Tensor] = []
    for scale in all {
      let found = try proposals(level(images, scale))
      logits.append(try found.logits.permuted([0, 2, 3, 1]).reshaped([images.shape[0], -1, 2]))
      offsets.append(try found.offsets.permuted([0, 2, 3, 1]).reshaped([images.shape[0], -1, 4]))
    }
    return DetectorHeads(
      confidence: try Tensor.concatenated(logits, axis: 1), location: try Tensor.concatenated(offsets, axis: 1),
      features: [])
  }

  package func margins(_ images: Tensor, where relevant: [Bool]) throws -> Tensor {
    let (count, height, width) = (images.shape[0], images.shape[2], images.shape[3])
    var first = 0
    let parts = try scales(height: height, width: width).map { scale -> Tensor in
      let size = levelSize(height, width, scale)
      let priors = max(0, cells(size.height) * cells(size.width))
      defer { first += priors }
      guard relevant[first..<first + priors].contains(true) else {
        return try Tensor(repeating: 0, shape: [count, priors], device: images.device)
      }
      return try proposalMargins(images, scale)
    }
    return try Tensor.concatenated(parts, axis: 1)
  }

  /// P-Net's margins at a scale, [N, cells].
  private func proposalMargins(_ images: Tensor, _ scale: Float) throws -> Tensor {
    let logits = try proposals(level(images, scale)).logits
    return try (logits.sliced(axis: 1, 1..<2) - logits.sliced(axis: 1, 0..<1)).reshaped([images.shape[0], -1])
  }

  /// P-Net alone, which later stages see no face without: at each scale of the pyramid that matters log(1 + sum(exp(z + 1) - 1)) over the
  /// cells that propose a face, z > 0. Coarser scales, whose few cells each find a whole face, count more: by their cells' area.
  package func hidingLoss(_ images: Tensor, where relevant: [[Bool]]) throws -> Tensor? {
    var first = 0
    /// The scales that matter in any image, and in which.
    let mattering = scales(height: images.shape[2], width: images.shape[3]).compactMap { scale in
      let size = levelSize(images.shape[2], images.shape[3], scale)
      let priors = first..<first + max(0, cells(size.height) * cells(size.width))
      first = priors.upperBound
      let isRelevant = relevant.map { $0[priors].contains(true) }
      return isRelevant.contains(true) ? (scale: scale, isRelevant: isRelevant) : nil
    }
    /// Each image's coarsest.
    let coarsest = relevant.indices.map { image in mattering.last { $0.isRelevant[image] }?.scale ?? 0 }
    return try mattering.reduce(Tensor(repeating: 0, shape: [images.shape[0]], device: images.device)) { total, level in
      let margins = try proposalMargins(images, level.scale)
      // Bounded, so that its exponential is finite.
      let excess = try (margins.clamped(to: -1...30) + 1).exp() - 1
      let loss = try ((excess * margins.mask(within: 0...Float.greatestFiniteMagnitude)).sum(axes: [1]) + 1).log()
      let weights = zip(coarsest, level.isRelevant).map { $1 ? ($0 / level.scale) * ($0 / level.scale) : 0 }
      return try total + loss * Tensor(weights, shape: [weights.count], device: images.device)
    }
  }

  package func decodedBoxes(_ location: Tensor, height: Int, width: Int) throws -> Tensor {
    let priors = priorBoxes(height: height, width: width)
    let values = priors.flatMap { [$0.x0, $0.y0, $0.x1, $0.y1] }
    let sizes = priors.flatMap { [$0.width, $0.height, $0.width, $0.height] }
    let shape = [1, priors.count, 4]
    let corners =
      try Tensor(values, shape: shape, device: location.device)
      + location * Tensor(sizes, shape: shape, device: location.device)
    let (near, far) = (try corners.sliced(axis: 2, 0..<2), try corners.sliced(axis: 2, 2..<4))
    return try Tensor.concatenated([(near + far) * 0.5, far - near], axis: 2)
  }

  /// Crops of an image [1, 3, H, W], clipped to it, at a net's size; a box that leaves nothing is passed over.
  private func crops(_ image: Tensor, _ boxes: [Box], side: Int) throws -> [Tensor] {
    try boxes.compactMap { box in
      // One-based and inclusive, truncated, as the cascade counts.
      let (left, top) = (max(1, Int(box.x0)), max(1, Int(box.y0)))
      let (right, bottom) = (min(image.shape[3], Int(box.x1)), min(image.shape[2], Int(box.y1)))
      guard bottom > top - 1, right > left - 1 else { return nil }
      return try image.sliced(axis: 2, top - 1..<bottom).sliced(axis: 3, left - 1..<right)
        .resized(height: side, width: side, mode: .area)
    }
  }

  // MARK: The cascade

  package func detect(_ image: Tensor, threshold: Float) throws -> [Detection] {
    try Autograd.withoutRecording { try cascade(image.detached()).found.filter { $0.score >= threshold } }
  }

  /// The regions that reach R-Net and O-Net, and what is found in the end.
  func cascade(_ image: Tensor) throws -> (refined: [Box], judged: [Box], found: [Detection]) {
    var candidates: [(box: Box, score: Float, offset: [Float])] = []
    for scale in scales(height: image.shape[2], width: image.shape[3]) {
      let size = levelSize(image.shape[2], image.shape[3], scale)
      guard cells(size.height) > 0, cells(size.width) > 0 else { continue }
      let level = try proposals(preprocessed(image.resized(height: size.height, width: size.width, mode: .area)))
      let (rows, columns) = (level.logits.shape[2], level.logits.shape[3])
      let (logits, offsets) = (try level.logits.values(), try level.offsets.values())
      let area = rows * columns
      var found: [(box: Box, score: Float, offset: [Float])] = []
      for i in 0..<area {
        let score = probability(logits[area + i] - logits[i])
        guard score >= thresholds[0] else { continue }
        found.append((cellBox(i / columns, i % columns, scale), score, (0..<4).map { offsets[$0 * area + i] }))
      }
      candidates += nonMaximumSuppression(found.map(\.box), scores: found.map(\.score), threshold: 0.5).map {
        found[$0]
      }
    }
    var kept = nonMaximumSuppression(candidates.map(\.box), scores: candidates.map(\.score), threshold: 0.7)
    let refined = kept.map { index -> Box in
      let (box, _, offset) = candidates[index]
      return Box(
        x0: box.x0 + offset[0] * box.width, y0: box.y0 + offset[1] * box.height, x1: box.x1 + offset[2] * box.width,
        y1: box.y1 + offset[3] * box.height
      ).squared
    }

    var judged: [Box] = []
    let (small, smallBoxes) = try batch(image, refined, side: 24)
    if let small {
      let (logits, offsets) = try refinements(small)
      let (l, o) = (try logits.values(), try offsets.values())
      let passed = smallBoxes.indices.filter { probability(l[2 * $0 + 1] - l[2 * $0]) > thresholds[1] }
      let scores = passed.map { probability(l[2 * $0 + 1] - l[2 * $0]) }
      kept = nonMaximumSuppression(passed.map { smallBoxes[$0] }, scores: scores, threshold: 0.7)
      judged = kept.map { moved(smallBoxes[passed[$0]], Array(o[passed[$0] * 4..<passed[$0] * 4 + 4])).squared }
    }

    var found: [Detection] = []
    let (large, largeBoxes) = try batch(image, judged, side: 48)
    if let large {
      let output = try outputs(large)
      let (l, o, p) = (try output.logits.values(), try output.offsets.values(), try output.landmarks.values())
      for (i, box) in largeBoxes.enumerated() {
        let score = probability(l[2 * i + 1] - l[2 * i])
        guard score > thresholds[2] else { continue }
        let points = (0..<5).map {
          Point(
            x: (box.width + 1) * p[10 * i + $0] + box.x0 - 1, y: (box.height + 1) * p[10 * i + 5 + $0] + box.y0 - 1)
        }
        found.append(Detection(box: moved(box, Array(o[4 * i..<4 * i + 4])), score: score, landmarks: points))
      }
      kept = nonMaximumSuppression(
        found.map(\.box), scores: found.map(\.score), threshold: 0.7, overlap: .minimum, pixelInclusive: true)
      found = kept.map { found[$0] }
    }
    return (refined, judged, found)
  }

  /// A box moved by a net's offsets, in units of its size.
  private func moved(_ box: Box, _ offset: [Float]) -> Box {
    let (width, height) = (box.width + 1, box.height + 1)
    return Box(
      x0: box.x0 + offset[0] * width, y0: box.y0 + offset[1] * height, x1: box.x1 + offset[2] * width,
      y1: box.y1 + offset[3] * height)
  }

  /// The crops of the boxes that leave something, as one preprocessed batch.
  private func batch(_ image: Tensor, _ boxes: [Box], side: Int) throws -> (Tensor?, [Box]) {
    var cut: [Tensor] = []
    var left: [Box] = []
    for box in boxes {
      guard let crop = try crops(image, [box], side: side).first else { continue }
      cut.append(crop)
      left.append(box)
    }
    return (cut.isEmpty ? nil : try preprocessed(Tensor.concatenated(cut, axis: 0)), left)
  }
}

@available(*, unavailable)
extension MTCNN: Sendable {}
