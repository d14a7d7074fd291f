/// How large the pictures of an HEVC stream are, by its sequence parameter sets (ITU-T H.265, 7.3.2.2).
enum HEVCSize {
  /// - Parameter configuration: the body of an `hvcC` box: 22 bytes, then lists of parameter sets by kind.
  static func pixelCount(configuration: ByteReader) -> Int {
    var reader = configuration
    reader.skip(22)
    var most = 0
    for _ in 0..<reader.number(1) {
      reader.skip(1)
      for _ in 0..<reader.number(2) where !reader.range.isEmpty {
        most = max(most, pixelCount(unit: &reader, width: 2))
      }
    }
    return most
  }

  /// - Parameter stream: units, each behind its length in four bytes.
  static func pixelCount(stream: ByteReader) -> Int {
    var (reader, most) = (stream, 0)
    while !reader.range.isEmpty { most = max(most, pixelCount(unit: &reader, width: 4)) }
    return most
  }

  private static func pixelCount(unit reader: inout ByteReader, width: Int) -> Int {
    let length = reader.number(width)
    let start = reader.range.lowerBound
    let unit = reader.narrowed(to: start..<start + min(length, reader.range.count))
    reader.skip(length)
    var head = unit
    let sequenceParameterSet = 33
    guard head.byte() >> 1 & 63 == sequenceParameterSet else { return 0 }
    head.skip(1)
    return pixelCount(parameterSet: BitReader(withoutEmulationPrevention(head)))
  }

  /// Units mark 00 00 0x by a 3 between; sizes stand within the first bytes.
  private static func withoutEmulationPrevention(_ unit: ByteReader) -> ByteReader {
    var (reader, bytes, zeros) = (unit, [UInt8](), 0)
    while !reader.range.isEmpty, bytes.count < 256 {
      let byte = reader.byte()
      if zeros >= 2, byte == 3 {
        zeros = 0
        continue
      }
      zeros = byte == 0 ? zeros + 1 : 0
      bytes.append(byte)
    }
    return ByteReader(bytes)
  }

  private static func pixelCount(parameterSet: BitReader) -> Int {
    var reader = parameterSet
    _ = reader.bits(4)
    let layers = reader.bits(3)
    _ = reader.bits(1 + 88 + 8)
    let present = (0..<layers).map { _ in (reader.bits(1), reader.bits(1)) }
    if layers > 0 { _ = reader.bits(2 * (8 - layers)) }
    for (profile, level) in present { _ = reader.bits(88 * profile + 8 * level) }
    _ = reader.golomb()
    let separatePlanes = 3
    if reader.golomb() == separatePlanes { _ = reader.bits(1) }
    return codedArea(reader.golomb(), reader.golomb())
  }
}
