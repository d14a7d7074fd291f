/// Computes over a batch in slices where the whole does not fit in the device's memory: when an attempt runs out of it, the
/// slice is halved and the attempt begins anew. What fitted once is used from then on.
public final class BatchSlicer {
  private let device: any Device
  /// The most images a slice; nil while whole batches fit.
  public private(set) var sliceLength: Int?

  /// - Parameter sliceLength: the most images a slice from the start on.
  public init(device: any Device, sliceLength: Int? = nil) { (self.device, self.sliceLength) = (device, sliceLength) }

  /// The gradients of a loss that is a mean over the `count` images of a batch.
  /// - Parameters:
  ///   - loss: the mean over the images of a range, and values to report, means over it too.
  /// - Returns: the gradients, and the reported values over the whole batch.
  /// - Throws: `KernelsError.outOfMemory` when not even one image fits.
  public func gradients(
    count: Int, withRespectTo leaves: [Tensor],
    of loss: (Range<Int>) throws -> (loss: Tensor, reported: [Tensor])
  ) throws -> (gradients: [Tensor], reported: [Tensor]) {
    try halvingUntilItFits(count) { ranges in
      var sums: [Tensor] = []
      var reported = 0
      for range in ranges {
        let part = try loss(range)
        reported = part.reported.count
        let share = Float(range.count) / Float(count)
        let found = try Kernels.gradients(of: part.loss, withRespectTo: leaves) + part.reported.map { $0.detached() }
        let weighed = try ranges.count == 1 ? found : found.map { try $0 * share }
        sums = try sums.isEmpty ? weighed : zip(sums, weighed).map { try $0 + $1 }
      }
      return (Array(sums.dropLast(reported)), Array(sums.suffix(reported)))
    }
  }

  /// The gradient with respect to `leaf` of a loss that is a mean over the images of `input`, which was computed from it.
  /// - Parameter loss: as above, given the images of the range.
  public func gradient(
    through input: Tensor, to leaf: Tensor,
    of loss: (Tensor, Range<Int>) throws -> (loss: Tensor, reported: [Tensor])
  ) throws -> (gradient: Tensor, reported: [Tensor]) {
    let images = input.detached().requiringGradient()
    let (found, reported) = try gradients(count: input.shape[0], withRespectTo: [images]) { range in
      try loss(images.slice(range), range)
    }
    return (try Kernels.gradients(of: input, withRespectTo: [leaf], seed: found[0])[0], reported)
  }

  /// The tensors that `body` makes of each range of a batch of `count` images, each joined along the first axis; outside
  /// any graph.
  public func map(count: Int, _ body: (Range<Int>) throws -> [Tensor]) throws -> [Tensor] {
    try halvingUntilItFits(count) { ranges in
      try Autograd.withoutRecording {
        let parts = try ranges.map(body)
        if parts.count == 1 { return parts[0] }
        return try parts[0].indices.map { index in try Tensor.concatenated(parts.map { $0[index] }, axis: 0) }
      }
    }
  }

  private func halvingUntilItFits<R>(_ count: Int, _ attempt: ([Range<Int>]) throws -> R) throws -> R {
    while true {
      let length = min(count, sliceLength ?? count)
      do {
        return try attempt(stride(from: 0, to: count, by: length).map { $0..<min($0 + length, count) })
      } catch KernelsError.outOfMemory where length > 1 {
        sliceLength = (length + 1) / 2
        device.trim()
      }
    }
  }
}

@available(*, unavailable)
extension BatchSlicer: Sendable {}

extension Tensor {
  /// The images of a range of the batch; itself for all of them.
  public func slice(_ range: Range<Int>) throws -> Tensor {
    range.count == shape[0] ? self : try sliced(axis: 0, range)
  }
}
