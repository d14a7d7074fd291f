/// How large the pictures of an AV1 stream may be, by its sequence headers (AV1 Bitstream Specification, 5.5).
enum AV1Size {
  /// - Parameter stream: open bitstream units.
  static func pixelCount(_ stream: ByteReader) -> Int {
    var (reader, most) = (stream, 0)
    while !reader.range.isEmpty {
      let head = reader.byte()
      if head & 4 != 0 { reader.skip(1) }
      let length = head & 2 != 0 ? leb128(&reader) : reader.range.count
      let start = reader.range.lowerBound
      let sequenceHeader = 1
      if Int(head >> 3 & 15) == sequenceHeader {
        let unit = reader.narrowed(to: start..<start + min(length, reader.range.count))
        most = max(most, pixelCount(header: BitReader(unit)))
      }
      reader.skip(length)
    }
    return most
  }

  private static func leb128(_ reader: inout ByteReader) -> Int {
    var value = 0
    for place in 0..<8 {
      let byte = Int(reader.byte())
      value |= (byte & 127) << (7 * place)
      if byte < 128 { break }
    }
    return value
  }

  private static func pixelCount(header: BitReader) -> Int {
    var reader = header
    _ = reader.bits(3 + 1)
    if reader.bits(1) == 1 {
      _ = reader.bits(5)
    } else {
      skipOperatingPoints(&reader)
    }
    let (width, height) = (reader.bits(4) + 1, reader.bits(4) + 1)
    return codedArea(reader.bits(width) + 1, reader.bits(height) + 1)
  }

  private static func skipOperatingPoints(_ reader: inout BitReader) {
    var delayBits = 0
    if reader.bits(1) == 1 {  // timing
      _ = reader.bits(64)
      if reader.bits(1) == 1 { _ = reader.golomb() }
      if reader.bits(1) == 1 {  // decoder model
        delayBits = reader.bits(5) + 1
        _ = reader.bits(32 + 5 + 5)
      }
    }
    let hasDelays = reader.bits(1) == 1
    for _ in 0...reader.bits(5) {
      _ = reader.bits(12)
      if reader.bits(5) > 7 { _ = reader.bits(1) }
      if delayBits > 0, reader.bits(1) == 1 { _ = reader.bits(2 * delayBits + 1) }
      if hasDelays, reader.bits(1) == 1 { _ = reader.bits(4) }
    }
  }
}
