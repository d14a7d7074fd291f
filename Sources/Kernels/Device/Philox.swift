/// One block of Philox4x32-10.
func philox(_ counter: SIMD4<UInt32>, _ key: SIMD2<UInt32>) -> SIMD4<UInt32> {
  var (counter, key) = (counter, key)
  for _ in 0..<10 {
    let first = UInt64(0xD251_1F53) * UInt64(counter[0])
    let second = UInt64(0xCD9E_8D57) * UInt64(counter[2])
    counter = SIMD4(
      UInt32(truncatingIfNeeded: second >> 32) ^ counter[1] ^ key[0], UInt32(truncatingIfNeeded: second),
      UInt32(truncatingIfNeeded: first >> 32) ^ counter[3] ^ key[1], UInt32(truncatingIfNeeded: first))
    key = key &+ SIMD2(0x9E37_79B9, 0xBB67_AE85)
  }
  return counter
}
