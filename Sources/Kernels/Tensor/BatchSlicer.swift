/// Computes over a batch in slices where the whole does not fit in the device's memory: when an attempt runs out of it, the
/// slice is halved and the attempt begins anew. What fitted once is used from then on. In a group each member computes its part of
/// the images.
package final class BatchSlicer {
  private let device: any Device
  private let group: (any ReductionGroup)?
  /// The most images a slice; nil while whole batches fit.
  package private(set) var sliceLength: Int?
  /// Whether all members have devices of one kind, once that was asked.
  private var isAlike: Bool?
  /// Whether a member's part of a batch may be computed in slices.
  private var isDivisible = true

  /// - Parameters:
  ///   - sliceLength: the most images a slice from the start on.
  ///   - group: who works on each batch besides, doing the same; nil for nobody.
  package init(device: any Device, sliceLength: Int? = nil, group: (any ReductionGroup)? = nil) {
    (self.device, self.sliceLength) = (device, sliceLength)
    self.group = group.flatMap { $0.count > 1 ? $0 : nil }
  }

  /// From now on a group's members compute their parts whole: between them they exchange what they see of a batch, and so must take the
  /// same steps. Alone, a slice is a batch of its own.
  /// - Throws: `KernelsError.usage` where slices were asked for.
  package func keepPartsWhole() throws {
    guard group != nil else { return }
    guard sliceLength == nil else {
      throw KernelsError.usage(
        "batch norms that look at the batches of several devices cannot take them in slices: leave --accumulate out")
    }
    isDivisible = false
  }

  /// The gradients of a loss that is a mean over the `count` images of a batch.
  /// - Parameters:
  ///   - loss: the mean over the images of a range, and values to report, means over it too.
  /// - Returns: the gradients, and the reported values over the whole batch.
  /// - Throws: `KernelsError.outOfMemory` when not even one image fits, `GroupError` where another member is gone.
  package func gradients(
    count: Int, withRespectTo leaves: [Tensor],
    of loss: (Range<Int>) throws -> (loss: Tensor, reported: [Tensor])
  ) throws -> (gradients: [Tensor], reported: [Tensor]) {
    let (found, reported) = try ownGradients(count: count, withRespectTo: leaves, of: loss)
    let sums = try summed(found + reported)
    return (Array(sums.prefix(leaves.count)), Array(sums.dropFirst(leaves.count)))
  }

  /// What this member's images contribute to the gradients and to the reported values: without a group all there is. The
  /// members' contributions are to be added up by `summed`, after whatever is linear in them.
  package func ownGradients(
    count: Int, withRespectTo leaves: [Tensor],
    of loss: (Range<Int>) throws -> (loss: Tensor, reported: [Tensor])
  ) throws -> (gradients: [Tensor], reported: [Tensor]) {
    try halvingUntilItFits(count) { ranges in
      var sums: [Tensor] = []
      var reported = 0
      // A member without images looks at one, to know what there is to report of none.
      for range in ranges.isEmpty ? [0..<1] : ranges {
        let part = try loss(range)
        reported = part.reported.count
        // Of the loss, not of what is found: in a group others' losses may depend on these images, too.
        let share = Float(range.count) / Float(count)
        let seed = try Tensor(repeating: share, shape: part.loss.shape, device: device)
        let found =
          try Kernels.gradients(of: part.loss, withRespectTo: leaves, seed: seed)
          + part.reported.map { try $0.detached() * share }
        let weighed =
          try ranges.isEmpty ? found.map { try Tensor(repeating: 0, shape: $0.shape, device: device) } : found
        sums = try sums.isEmpty ? weighed : zip(sums, weighed).map { try $0 + $1 }
      }
      return (Array(sums.dropLast(reported)), Array(sums.suffix(reported)))
    }
  }

  /// The sums over the members, the same bits at each; without a group the tensors themselves.
  package func summed(_ tensors: [Tensor]) throws -> [Tensor] {
    guard let group else { return tensors }
    var values = try group.sum(tensors.flatMap { try $0.values() })[...]
    return try tensors.map { tensor in
      defer { values = values.dropFirst(tensor.count) }
      return try Tensor(Array(values.prefix(tensor.count)), shape: tensor.shape, device: device)
    }
  }

  /// What `body` makes of each number below `count`; in a group one member makes it for all.
  /// - Throws: what `body` throws, `GroupError` where another member is gone.
  package func sharedOut(_ count: Int, _ body: (Int) throws -> [Float]) throws -> [[Float]] {
    guard let group else { return try (0..<count).map(body) }
    let part = group.part(of: count)
    let own = try part.map(body)
    let lengths = try group.sum((0..<count).map { part.contains($0) ? Float(own[$0 - part.lowerBound].count) : 0 })
      .map { Int(exactly: $0) ?? 0 }
    let zeros = { (range: Range<Int>) in [Float](repeating: 0, count: lengths[range].reduce(0, +)) }
    var rest = try group.sum(zeros(0..<part.lowerBound) + own.joined() + zeros(part.upperBound..<count))[...]
    return lengths.map { length in
      defer { rest = rest.dropFirst(length) }
      return Array(rest.prefix(length))
    }
  }

  /// The same tensors as the group's first member has them, where members' devices differ and so round otherwise; nil where they
  /// do not.
  package func stateOfFirst(_ tensors: [String: Tensor]) throws -> [String: Tensor]? {
    guard let group else { return nil }
    let isAlike = try isAlike ?? group.agree(on: device.summary)
    self.isAlike = isAlike
    guard !isAlike else { return nil }
    let names = tensors.keys.sorted()
    var values = try group.broadcast(names.flatMap { try tensors[$0]!.values() })[...]
    return try Dictionary(
      uniqueKeysWithValues: names.map { name in
        let shape = tensors[name]!.shape
        defer { values = values.dropFirst(shape.elementCount) }
        return (name, try Tensor(Array(values.prefix(shape.elementCount)), shape: shape, device: device))
      })
  }

  /// The gradient with respect to `leaf` of a loss that is a mean over the images of `input`, which was computed from it.
  /// - Parameter loss: as above, given the images of the range.
  package func gradient(
    through input: Tensor, to leaf: Tensor,
    of loss: (Tensor, Range<Int>) throws -> (loss: Tensor, reported: [Tensor])
  ) throws -> (gradient: Tensor, reported: [Tensor]) {
    let images = input.detached().requiringGradient()
    let (found, reported) = try ownGradients(count: input.shape[0], withRespectTo: [images]) { range in
      try loss(images.slice(range), range)
    }
    let gradient = try Kernels.gradients(of: input, withRespectTo: [leaf], seed: found[0])[0]
    let sums = try summed([gradient] + reported)
    return (sums[0], Array(sums.dropFirst()))
  }

  /// The same of a loss of the whole batch at once, which is no mean over its images.
  /// - Parameters:
  ///   - rows: what the loss is computed from, a row an image, of the images of a range.
  ///   - loss: of the rows of all images.
  package func gradient(
    through input: Tensor, to leaf: Tensor, rows: (Tensor, Range<Int>) throws -> Tensor,
    of loss: (Tensor) throws -> Tensor
  ) throws -> Tensor {
    let count = input.shape[0]
    let images = input.detached().requiringGradient()
    func pulled(_ found: Tensor) throws -> Tensor {
      try summed(Kernels.gradients(of: input, withRespectTo: [leaf], seed: found))[0]
    }
    if group == nil, sliceLength ?? count >= count {
      do {
        return try pulled(Kernels.gradients(of: loss(rows(images, 0..<count)), withRespectTo: [images])[0])
      } catch KernelsError.outOfMemory where count > 1 {
        halve(count)
      }
    }
    // What the loss says of each row, and then what that says of the images.
    let all = try summed(map(count: count) { [try rows(images.slice($0), $0)] })[0].requiringGradient()
    let seeds = try Kernels.gradients(of: loss(all), withRespectTo: [all])[0]
    return try pulled(
      halvingUntilItFits(count) { ranges in
        try ranges.reduce(Tensor(repeating: 0, shape: images.shape, device: device)) { sum, range in
          try sum
            + Kernels.gradients(
              of: rows(images.slice(range), range), withRespectTo: [images], seed: seeds.slice(range))[0]
        }
      })
  }

  /// The tensors that `body` makes of each range of a batch of `count` images, each joined along the first axis; outside
  /// any graph. In a group the rows of other members' images are 0: use those of the ranges that this slicer gives, or `summed`.
  package func map(count: Int, _ body: (Range<Int>) throws -> [Tensor]) throws -> [Tensor] {
    try halvingUntilItFits(count) { ranges in
      try Autograd.withoutRecording {
        let parts = try (ranges.isEmpty ? [0..<1] : ranges).map(body)
        return try parts[0].indices.map { index in try joined(parts.map { $0[index] }, ranges, count) }
      }
    }
  }

  /// Rows of this member's ranges among those of all `count` images, which are 0.
  package func padded(_ own: Tensor, count: Int) throws -> Tensor {
    try joined([own], group.map { [$0.part(of: count)] } ?? [0..<count], count)
  }

  private func joined(_ parts: [Tensor], _ ranges: [Range<Int>], _ count: Int) throws -> Tensor {
    guard let first = ranges.first?.lowerBound, let last = ranges.last?.upperBound else {
      return try Tensor(repeating: 0, shape: [count] + parts[0].shape.dropFirst(), device: device)
    }
    func zeros(_ count: Int) throws -> [Tensor] {
      guard count > 0 else { return [] }
      return [try Tensor(repeating: 0, shape: [count] + parts[0].shape.dropFirst(), device: device)]
    }
    let all = try zeros(first) + parts + zeros(count - last)
    return try all.count == 1 ? all[0] : Tensor.concatenated(all, axis: 0)
  }

  private func halvingUntilItFits<R>(_ count: Int, _ attempt: ([Range<Int>]) throws -> R) throws -> R {
    let part = group?.part(of: count) ?? 0..<count
    while true {
      let length = max(1, min(part.count, sliceLength ?? part.count))
      do {
        return try attempt(
          stride(from: part.lowerBound, to: part.upperBound, by: length).map { $0..<min($0 + length, part.upperBound) })
      } catch KernelsError.outOfMemory where length > 1 && isDivisible {
        halve(length)
      }
    }
  }

  private func halve(_ length: Int) {
    sliceLength = (length + 1) / 2
    device.trim()
  }
}

@available(*, unavailable)
extension BatchSlicer: Sendable {}

extension Tensor {
  /// The images of a range of the batch; itself for all of them.
  package func slice(_ range: Range<Int>) throws -> Tensor {
    range.count == shape[0] ? self : try sliced(axis: 0, range)
  }
}
