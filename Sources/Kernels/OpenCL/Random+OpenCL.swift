extension OpenCLDevice: RandomKernels {
  package func random(_ distribution: RandomDistribution, into y: Buffer, count: Int, seed: UInt64, stream: UInt64)
    throws
  {
    try launch(
      .random, "random_\(distribution.rawValue)", .elements, global: [(count + 3) / 4], .buffer(y), .uint(count),
      .uint(Int(seed & 0xffff_ffff)), .uint(Int(seed >> 32)), .uint(Int(stream & 0xffff_ffff)), .uint(Int(stream >> 32))
    )
  }
}
