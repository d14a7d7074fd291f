/// A counter-based stream of random tensors (Philox4x32-10; Salmon, Moraes, Dror, Shaw, 2011): the same seed gives the
/// same bits on every device. Its whole state is two numbers, so that a run resumes exactly.
public struct RandomStream: Equatable, Sendable {
  /// What all numbers of the stream follow from.
  public let seed: UInt64
  /// How many draws were made: each draw is a stream of its own.
  public var position: UInt64

  /// A stream that goes on after `position` draws.
  public init(seed: UInt64, position: UInt64 = 0) {
    self.seed = seed
    self.position = position
  }

  /// Uniform values in low ..< high.
  public mutating func uniform(_ shape: Shape, in range: Range<Float> = 0..<1, device: any Device) throws -> Tensor {
    try draw(.uniform, shape, device).scaled(by: range.upperBound - range.lowerBound, plus: range.lowerBound)
  }

  /// Standard normal values.
  public mutating func normal(_ shape: Shape, device: any Device) throws -> Tensor {
    try draw(.normal, shape, device)
  }

  /// One uniform integer below `bound`, drawn on the host; 0 where nothing is below it.
  public mutating func integer(below bound: Int) -> Int {
    Int(nextBits().0 % UInt64(max(1, bound)))
  }

  /// One uniform value in [0, 1), drawn on the host.
  public mutating func unit() -> Float { Float(nextBits().0 >> 40) * 0x1p-24 }

  /// The numbers below `count` in random order (Fisher and Yates), drawn on the host.
  public mutating func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<max(0, count))
    for i in stride(from: count - 1, to: 0, by: -1) { order.swapAt(i, integer(below: i + 1)) }
    return order
  }

  private mutating func draw(_ distribution: RandomDistribution, _ shape: Shape, _ device: any Device) throws -> Tensor
  {
    try requireElements(shape, "random")
    let buffer = try device.allocate(shape.elementCount)
    try device.random(distribution, into: buffer, count: shape.elementCount, seed: seed, stream: position)
    position += 1
    return Tensor(shape: shape, device: device, buffer: buffer)
  }

  private mutating func nextBits() -> (UInt64, UInt64) {
    let block = philox(
      SIMD4(0, 0, UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: position >> 32)),
      SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32)))
    position += 1
    return (UInt64(block[0]) << 32 | UInt64(block[1]), UInt64(block[2]) << 32 | UInt64(block[3]))
  }
}
