import Kernels

/// A picture of grey bytes, made of colours and shrunk as OpenCV does both, to the last bit.
struct GreyPicture {
  let bytes: [UInt8]
  let height: Int, width: Int

  /// BT.601's shares of red, green and blue in grey, of 2^15.
  private static let shares: [UInt32] = [9798, 19235, 3735]

  /// - Parameter image: [1, 3, H, W] in [-1, 1].
  init(_ image: Tensor) throws {
    let planes = try image.values()
    let count = image.shape[2] * image.shape[3]
    func byte(_ value: Float) -> UInt32 {
      let scaled = (value * 127.5 + 127.5).rounded()
      return scaled > 0 ? UInt32(min(scaled, 255)) : 0
    }
    self.init(
      bytes: (0..<count).map { place in
        let sum = (0..<3).reduce(UInt32(1 << 14)) { $0 + Self.shares[$1] * byte(planes[$1 * count + place]) }
        return UInt8(sum >> 15)
      }, height: image.shape[2], width: image.shape[3])
  }

  private init(bytes: [UInt8], height: Int, width: Int) {
    (self.bytes, self.height, self.width) = (bytes, height, width)
  }

  /// What an output row or column is made of: two neighbours, the second counting for `share` of 256.
  private struct Source {
    var first: Int, second: Int
    var share: UInt32

    static func all(_ extent: Int, _ outExtent: Int) -> [Source] {
      let step = 1 / (Double(outExtent) / Double(extent))
      return (0..<outExtent).map { index in
        let place = step * (Double(index) + 0.5) - 0.5
        let first = Int(place.rounded(.down))
        guard first >= 0, first < extent - 1 else {
          let edge = min(max(first, 0), extent - 1)
          return Source(first: edge, second: edge, share: 0)
        }
        let share = ((place - Double(first)) * 256).rounded(.toNearestOrEven)
        return Source(first: first, second: first + 1, share: UInt32(share))
      }
    }
  }

  /// Bilinear, in fixed point (OpenCV's INTER_LINEAR_EXACT).
  func resized(height outHeight: Int, width outWidth: Int) -> GreyPicture {
    guard (outHeight, outWidth) != (height, width) else { return self }
    let (rows, columns) = (Source.all(height, outHeight), Source.all(width, outWidth))
    let resized = [UInt8](unsafeUninitializedCapacity: outHeight * outWidth) { target, initialized in
      bytes.withUnsafeBufferPointer { source in
        for (y, row) in rows.enumerated() {
          let (upper, lower) = (row.first * width, row.second * width)
          for (x, column) in columns.enumerated() {
            /// 256 times what a row has there.
            func line(_ start: Int) -> UInt32 {
              (256 - column.share) * UInt32(source[start + column.first])
                + column.share * UInt32(source[start + column.second])
            }
            let sum = (256 - row.share) * line(upper) + row.share * line(lower)
            target[y * outWidth + x] = UInt8((sum + (1 << 15)) >> 16)
          }
        }
      }
      initialized = outHeight * outWidth
    }
    return GreyPicture(bytes: resized, height: outHeight, width: outWidth)
  }
}
