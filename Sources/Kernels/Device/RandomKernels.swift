/// What a back end provides for `Tensor/Random.swift`.
public protocol RandomKernels {
  /// Uniform in [0, 1) or standard normal, from block i of Philox4x32-10 under (seed, stream): the same bits everywhere.
  func random(_ distribution: RandomDistribution, into y: Buffer, count: Int, seed: UInt64, stream: UInt64) throws
}

/// What random numbers are drawn from: the uniform distribution on [0, 1), the standard normal one.
public enum RandomDistribution: String, Sendable { case uniform, normal }
