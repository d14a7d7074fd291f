/// Numbers from bytes, the highest byte first, and from bits; behind the end all are 0.
struct ByteReader {
  private let file: UnsafeBufferPointer<UInt8>
  /// Bytes of its own, where they do not lie in a file.
  private let own: [UInt8]
  private(set) var range: Range<Int>

  init(_ file: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) { (self.file, own, self.range) = (file, [], range) }

  init(_ bytes: [UInt8]) { (file, own, range) = (UnsafeBufferPointer(start: nil, count: 0), bytes, 0..<bytes.count) }

  func narrowed(to range: Range<Int>) -> ByteReader {
    var reader = self
    reader.range = range.clamped(to: self.range)
    return reader
  }

  mutating func byte() -> UInt8 {
    guard let place = range.first else { return 0 }
    range = place + 1..<range.upperBound
    return own.isEmpty ? file[place] : own[place]
  }

  /// `width` bytes, 0 or more; of more than eight the last eight count, and what is above `Int.max` counts as that.
  mutating func number(_ width: Int) -> Int {
    Int(clamping: (0..<width).reduce(UInt64(0)) { value, _ in value << 8 | UInt64(byte()) })
  }

  mutating func name() -> String { String(decoding: [byte(), byte(), byte(), byte()], as: UTF8.self) }

  mutating func skip(_ count: Int) {
    range = min(range.lowerBound + max(count, 0), range.upperBound)..<range.upperBound
  }

  /// Of a box that has one: its version; its flags are passed over.
  mutating func version() -> Int { number(4) >> 24 }
}

/// Bits from bytes, the highest first; behind the end all are 0.
struct BitReader {
  private var bytes: ByteReader
  private var (current, left) = (UInt8(0), 0)

  init(_ bytes: ByteReader) { self.bytes = bytes }

  mutating func bits(_ count: Int) -> Int {
    var value = 0
    for _ in 0..<count {
      if left == 0 { (current, left) = (bytes.byte(), 8) }
      left -= 1
      value = value << 1 | Int(current >> left & 1)
    }
    return value
  }

  /// An unsigned Exp-Golomb code of at most 32 bits.
  mutating func golomb() -> Int {
    var zeros = 0
    while zeros < 32, bits(1) == 0 { zeros += 1 }
    return 1 << zeros - 1 + bits(zeros)
  }
}
