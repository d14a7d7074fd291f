import Foundation
import Kernels

/// Reads Windows and OS/2 bitmaps: 1 to 32 bits, palettes, masks, run lengths. (No library of Debian's reads them without
/// bringing a graphics system along.)
func readBMP(_ data: Data, path: String) throws -> Image { try BMPReader(data, path).image() }

private struct BMPReader {
  private let bytes: [UInt8], path: String
  private let width: Int, height: Int, isTopDown: Bool, bits: Int
  /// 0 none, 1 and 2 run lengths of 8 and 4 bits, 3 and 6 masks.
  private let compression: Int
  private let pixels: Int
  private var palette: [[UInt8]] = []
  /// Red, green, blue, alpha.
  private var masks: [UInt32] = []

  init(_ data: Data, _ path: String) throws {
    (bytes, self.path) = ([UInt8](data), path)
    guard bytes.count >= 26 else { throw FileError(path, "is truncated") }
    let header = Self.number(bytes, 14, 4)
    guard Self.headers.contains(header) else {
      throw FileError(path, "is a bitmap with a header of \(header) bytes, which is not read")
    }
    guard bytes.count >= 14 + header else { throw FileError(path, "is truncated") }
    let isOld = header == 12
    let (w, h) = (
      isOld ? Self.number(bytes, 18, 2) : Int(Int32(truncatingIfNeeded: Self.number(bytes, 18, 4))),
      isOld ? Self.number(bytes, 20, 2) : Int(Int32(truncatingIfNeeded: Self.number(bytes, 22, 4)))
    )
    (width, height, isTopDown) = (w, abs(h), h < 0)
    bits = Self.number(bytes, isOld ? 24 : 28, 2)
    compression = header >= 40 ? Self.number(bytes, 30, 4) : 0
    pixels = Self.number(bytes, 10, 4)
    try checkSize(width, height, path)
    guard [1, 4, 8, 16, 24, 32].contains(bits), [0, 1, 2, 3, 6].contains(compression), compression != 1 || bits == 8,
      compression != 2 || bits == 4, compression < 3 || bits == 16 || bits == 32
    else { throw FileError(path, "is a bitmap of \(bits) bits and compression \(compression), which is not read") }
    // Runs of 255 pixels take two bytes.
    guard compression == 1 || compression == 2 ? width * height / 130 <= bytes.count : rowSize * height <= bytes.count
    else {
      throw FileError(path, "is truncated: \(width) x \(height) pixels cannot be in \(bytes.count) bytes")
    }
    try checkMemory(forPicture: 4 * width * height, path)
    if bits <= 8 {
      let used = header >= 40 ? Self.number(bytes, 46, 4) : 0
      let (size, count) = (isOld ? 3 : 4, used > 0 && used < 1 << bits ? used : 1 << bits)
      palette = (0..<count).map { entry in
        let at = 14 + header + entry * size
        return at + 2 < bytes.count ? [bytes[at + 2], bytes[at + 1], bytes[at]] : [0, 0, 0]
      }
    } else if compression == 3 || compression == 6 {
      let count = header >= 56 || compression == 6 ? 4 : 3
      guard bytes.count >= 54 + 4 * count else { throw FileError(path, "is truncated") }
      masks = (0..<count).map { UInt32(Self.number(bytes, 54 + 4 * $0, 4)) }
    } else if bits != 24 {
      masks = bits == 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff]
    }
  }

  /// The sizes of headers that there are.
  private static let headers = [12, 16, 40, 52, 56, 64, 108, 124]

  private static func number(_ bytes: [UInt8], _ at: Int, _ count: Int) -> Int {
    (0..<count).reduce(0) { $0 | Int(bytes[at + $1]) << (8 * $1) }
  }

  private var rowSize: Int { (width * bits + 31) / 32 * 4 }

  func image() throws -> Image {
    let hasAlpha = masks.count == 4 && masks[3] != 0
    let channels = hasAlpha ? 4 : 3
    var target = [UInt8](repeating: 0, count: width * height * channels)
    if compression == 1 || compression == 2 {
      for (i, index) in indices().enumerated() where Int(index) < palette.count {
        for c in 0..<3 { target[3 * i + c] = palette[Int(index)][c] }
      }
    } else {
      guard pixels >= 14, pixels + rowSize * height <= bytes.count else { throw FileError(path, "is truncated") }
      let scales = masks.map { mask in mask == 0 ? 0 : mask >> UInt32(mask.trailingZeroBitCount) }
      for y in 0..<height {
        let (row, out) = (pixels + (isTopDown ? y : height - 1 - y) * rowSize, y * width * channels)
        for x in 0..<width {
          let to = out + x * channels
          if bits <= 8 {
            let perByte = 8 / bits
            let index = Int(bytes[row + x / perByte]) >> (8 - bits - x % perByte * bits) & (1 << bits - 1)
            if index < palette.count { for c in 0..<3 { target[to + c] = palette[index][c] } }
          } else if bits == 24 {
            for c in 0..<3 { target[to + c] = bytes[row + 3 * x + 2 - c] }
          } else {
            let value = UInt32(Self.number(bytes, row + x * bits / 8, bits / 8))
            for c in 0..<channels where scales[c] > 0 {
              let part = (value & masks[c]) >> UInt32(masks[c].trailingZeroBitCount)
              target[to + c] = UInt8((UInt64(part) * 255 + UInt64(scales[c] / 2)) / UInt64(scales[c]))
            }
          }
        }
      }
    }
    return Image(width: width, height: height, channels: channels, bytes: target)
  }

  /// The palette's indices that run lengths stand for; what they leave out is 0.
  private func indices() -> [UInt8] {
    var result = [UInt8](repeating: 0, count: width * height)
    var (at, x, y) = (pixels, 0, height - 1)
    func put(_ index: UInt8) {
      if x < width, y >= 0 { result[y * width + x] = index }
      x += 1
    }
    while at >= 14, at + 1 < bytes.count, y >= 0 {
      let (count, value) = (Int(bytes[at]), bytes[at + 1])
      at += 2
      if count > 0 {
        for i in 0..<count { put(bits == 8 ? value : i % 2 == 0 ? value >> 4 : value & 15) }
      } else if value == 0 {
        (x, y) = (0, y - 1)
      } else if value == 1 {
        break
      } else if value == 2 {
        guard at + 1 < bytes.count else { break }
        (x, y) = (x + Int(bytes[at]), y - Int(bytes[at + 1]))
        at += 2
      } else {
        let size = bits == 8 ? Int(value) : (Int(value) + 1) / 2
        guard at + size <= bytes.count else { break }
        for i in 0..<Int(value) {
          put(bits == 8 ? bytes[at + i] : i % 2 == 0 ? bytes[at + i / 2] >> 4 : bytes[at + i / 2] & 15)
        }
        at += (size + 1) / 2 * 2
      }
    }
    return result
  }
}
