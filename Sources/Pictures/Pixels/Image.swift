import Foundation
import Kernels

/// A decoded picture: interleaved samples, rows top to bottom.
public struct Image: Sendable {
  /// In pixels.
  public let width: Int, height: Int
  /// 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha.
  public let channels: Int
  /// 8 or 16 bits a sample.
  public let bitDepth: Int
  /// `width * height * channels` samples of one or two bytes (host order).
  public var bytes: [UInt8]

  /// A picture of width x height x channels samples; `bytes` must fill it exactly.
  public init(width: Int, height: Int, channels: Int, bitDepth: Int = 8, bytes: [UInt8]) {
    precondition(bytes.count == width * height * channels * bitDepth / 8, "an image's bytes fill it")
    (self.width, self.height, self.channels, self.bitDepth, self.bytes) = (width, height, channels, bitDepth, bytes)
  }

  /// The largest sample value.
  public var peak: Float { bitDepth == 16 ? 65535 : 255 }

  /// All of the picture.
  package var bounds: Box { Box(x0: 0, y0: 0, x1: Float(width), y1: Float(height)) }

  /// The picture in 8 bits, as RGB.
  package var eightBitRGB: Image { Image(planes: planes(), width: width, height: height) }

  /// Whether the last channel is alpha.
  public var hasAlpha: Bool { channels == 2 || channels == 4 }

  /// Channels without alpha: 1 or 3.
  public var colorChannels: Int { channels < 3 ? 1 : 3 }

  /// Whether no pixel has a colour: grey, as such or stored as red, green and blue that are equal but for what types that lose
  /// something round. It stays so when it is moved.
  package var isNeutral: Bool {
    guard colorChannels == 3 else { return true }
    return bytes.withUnsafeBytes { raw in
      let (narrow, wide) = (raw.bindMemory(to: UInt8.self), raw.bindMemory(to: UInt16.self))
      for start in stride(from: 0, to: width * height * channels, by: channels) {
        let (red, green, blue) =
          bitDepth == 8
          ? (Int(narrow[start]), Int(narrow[start + 1]), Int(narrow[start + 2]))
          : (Int(wide[start]), Int(wide[start + 1]), Int(wide[start + 2]))
        guard max(red, green, blue) - min(red, green, blue) <= (bitDepth == 8 ? 2 : 2 * 257) else { return false }
      }
      return true
    }
  }

  /// Sample `channel` of pixel `index` (row-major).
  func sample(_ index: Int, _ channel: Int) -> Int {
    let at = index * channels + channel
    return bitDepth == 8
      ? Int(bytes[at]) : Int(bytes.withUnsafeBytes { $0.load(fromByteOffset: 2 * at, as: UInt16.self) })
  }

  /// The colours as planes [3, height, width] in [-1, 1]; grey fills all three, alpha is left out.
  public func planes() -> [Float] {
    let area = width * height
    let scale = 2 / peak
    return [Float](unsafeUninitializedCapacity: 3 * area) { target, initialized in
      bytes.withUnsafeBytes { source in
        for channel in 0..<3 {
          let from = colorChannels == 1 ? 0 : channel
          let to = target.baseAddress! + channel * area
          if bitDepth == 8 {
            for i in 0..<area { to[i] = Float(source[i &* channels &+ from]) * scale - 1 }
          } else {
            let wide = source.bindMemory(to: UInt16.self)
            for i in 0..<area { to[i] = Float(wide[i &* channels &+ from]) * scale - 1 }
          }
        }
      }
      initialized = 3 * area
    }
  }

  /// An 8-bit RGB picture from planes [3, height, width] in [-1, 1] (rounded, clipped).
  public init(planes: [Float], width: Int, height: Int) {
    let area = width * height
    precondition(planes.count == 3 * area, "three planes of the picture's size")
    var bytes = [UInt8](repeating: 0, count: 3 * area)
    for channel in 0..<3 {
      for i in 0..<area { bytes[3 * i + channel] = Image.byte(planes[channel * area + i]) }
    }
    self.init(width: width, height: height, channels: 3, bytes: bytes)
  }

  /// A value in [-1, 1] as a byte; NaN becomes 0.
  static func byte(_ value: Float) -> UInt8 { UInt8(max(0, min(255, ((value + 1) * 127.5).rounded()))) }

  /// Adds a perturbation, planes [3, height, width] in units of [-1, 1], in this picture's own bit depth: each sample
  /// moves by the rounded amount, by no more than `budget` (in the same units), within its range. Grey, also as equal colours,
  /// moves by the mean of the three; alpha stays.
  /// - Parameters:
  ///   - perturbation: planes [3, height, width] in units of [-1, 1].
  ///   - budget: the most that a sample moves.
  ///   - asNeutral: whether all colours move alike; nil where this picture says, which is whole.
  public func adding(_ perturbation: [Float], budget: Float, asNeutral: Bool? = nil) -> Image {
    adding(moves: moves(of: perturbation, budget: budget, asNeutral: asNeutral))
  }

  /// A perturbation as whole steps of this picture's samples, for pictures of this size and format.
  package func moves(of perturbation: [Float], budget: Float, asNeutral: Bool? = nil) -> [Int16] {
    let area = width * height
    precondition(perturbation.count == 3 * area, "three planes of the picture's size")
    let scale = peak / 2
    // Just enough slack for a budget like 2 / 255 that is meant as a whole number of steps.
    let most = (budget * scale + 1e-3).rounded(.down)
    var moves = [Int16](repeating: 0, count: area * channels)
    let movesAlike = asNeutral ?? isNeutral
    perturbation.withUnsafeBufferPointer { delta in
      moves.withUnsafeMutableBufferPointer { moves in
        for channel in 0..<colorChannels {
          for i in 0..<area {
            let amount =
              movesAlike
              ? (delta[i] + delta[area &+ i] + delta[2 &* area &+ i]) / 3 : delta[channel &* area &+ i]
            moves[i &* channels &+ channel] = Int16(max(-most, min(most, (amount * scale).rounded())))
          }
        }
      }
    }
    return moves
  }

  /// Each sample moved by as many steps, within its range.
  package func adding(moves: [Int16]) -> Image { moved(by: moves).image }

  /// Each sample moved by as many steps, within its range, and the peak signal-to-noise ratio of the result: in one pass,
  /// since large pictures come from memory.
  package func moved(by moves: [Int16]) -> (image: Image, psnr: Double) {
    precondition(moves.count == width * height * channels, "a step a sample")
    var squares = 0
    let bytes = [UInt8](unsafeUninitializedCapacity: bytes.count) { target, initialized in
      self.bytes.withUnsafeBytes { source in
        moves.withUnsafeBufferPointer { moves in
          if bitDepth == 8 {
            // In parts whose sums fit 32 bits, for the vectors' sake.
            for first in stride(from: 0, to: moves.count, by: 16384) {
              var part: UInt32 = 0
              for i in first..<min(first + 16384, moves.count) {
                let old = Int16(source[i])
                let new = max(0, min(255, old &+ moves[i]))
                let difference = Int32(new &- old)
                part &+= UInt32(bitPattern: difference &* difference)
                target[i] = UInt8(truncatingIfNeeded: new)
              }
              squares += Int(part)
            }
          } else {
            let (from, to) = (
              source.bindMemory(to: UInt16.self), UnsafeMutableRawBufferPointer(target).bindMemory(to: UInt16.self)
            )
            for i in moves.indices {
              let (old, move) = (Int(from[i]), Int(moves[i]))
              let new = max(0, min(65535, old + move))
              squares += (new - old) * (new - old)
              to[i] = UInt16(new)
            }
          }
        }
      }
      initialized = target.count
    }
    let result = Image(width: width, height: height, channels: channels, bitDepth: bitDepth, bytes: bytes)
    // Alpha does not move.
    return (result, decibels(squares, samples: width * height * colorChannels, peak: Double(peak)))
  }

  /// The largest difference of any colour sample from `other`, in units of [-1, 1].
  package func largestDifference(from other: Image) -> Float {
    precondition(channels == other.channels && bitDepth == other.bitDepth && bytes.count == other.bytes.count)
    var largest = 0
    if bitDepth == 8, !hasAlpha {
      bytes.withUnsafeBufferPointer { a in
        other.bytes.withUnsafeBufferPointer { b in
          var most: Int16 = 0
          for i in a.indices { most = max(most, abs(Int16(a[i]) &- Int16(b[i]))) }
          largest = Int(most)
        }
      }
      return Float(largest) * 2 / peak
    }
    for i in 0..<width * height {
      for channel in 0..<colorChannels { largest = max(largest, abs(sample(i, channel) - other.sample(i, channel))) }
    }
    return Float(largest) * 2 / peak
  }

  /// A part of the picture, in pixels from its top left corner; it must lie within the picture.
  public func cropped(x: Int, y: Int, width: Int, height: Int) -> Image {
    let pixel = channels * bitDepth / 8
    var part: [UInt8] = []
    part.reserveCapacity(width * height * pixel)
    for row in y..<y + height {
      let start = (row * self.width + x) * pixel
      part += bytes[start..<start + width * pixel]
    }
    return Image(width: width, height: height, channels: channels, bitDepth: bitDepth, bytes: part)
  }

  /// The part of the picture in a box that lies within it, with corners at whole pixels.
  public func cropped(to box: Box) -> Image {
    cropped(x: Int(box.x0), y: Int(box.y0), width: Int(box.width), height: Int(box.height))
  }

  // MARK: Orientation

  /// The picture turned upright from an EXIF orientation (1...8); any other number leaves it as it is.
  public func upright(from orientation: Int) -> Image { rearranged(orientation) { $0 } }

  /// The inverse of `upright(from:)`: back to how the file stores it.
  public func stored(as orientation: Int) -> Image {
    // Only the quarter turns are not their own inverses.
    rearranged(orientation) { $0 == 6 ? 8 : ($0 == 8 ? 6 : $0) }
  }

  private func rearranged(_ orientation: Int, _ map: (Int) -> Int) -> Image {
    let turn = map(orientation)
    guard turn > 1, turn <= 8 else { return self }
    let swapped = turn >= 5
    let (newWidth, newHeight) = swapped ? (height, width) : (width, height)
    let pixel = channels * bitDepth / 8
    var target = [UInt8](repeating: 0, count: bytes.count)
    for y in 0..<newHeight {
      for x in 0..<newWidth {
        // Where the upright pixel (x, y) is stored.
        let (sx, sy): (Int, Int)
        switch turn {
        case 2: (sx, sy) = (width - 1 - x, y)
        case 3: (sx, sy) = (width - 1 - x, height - 1 - y)
        case 4: (sx, sy) = (x, height - 1 - y)
        case 5: (sx, sy) = (y, x)
        case 6: (sx, sy) = (y, height - 1 - x)
        case 7: (sx, sy) = (width - 1 - y, height - 1 - x)
        default: (sx, sy) = (width - 1 - y, x)
        }
        let (from, to) = ((sy * width + sx) * pixel, (y * newWidth + x) * pixel)
        for i in 0..<pixel { target[to + i] = bytes[from + i] }
      }
    }
    return Image(width: newWidth, height: newHeight, channels: channels, bitDepth: bitDepth, bytes: target)
  }

  // MARK: Tensors

  /// The colours as a tensor [1, 3, height, width] in [-1, 1].
  public func tensor(on device: any Device) throws -> Tensor {
    try Tensor(planes(), shape: [1, 3, height, width], device: device)
  }

  /// The pictures of a batch [N, 3, H, W] in [-1, 1], in 8 bits (rounded, clipped). Waits for queued work.
  /// - Throws: `KernelsError.shape` of another shape.
  public static func images(from batch: Tensor) throws -> [Image] {
    guard batch.rank == 4, batch.shape[1] == 3 else {
      throw KernelsError.shape(operation: "images", "\(batch.shape) is no batch of RGB images")
    }
    let values = try batch.values()
    let size = 3 * batch.shape[2] * batch.shape[3]
    return (0..<batch.shape[0]).map {
      Image(planes: Array(values[$0 * size..<($0 + 1) * size]), width: batch.shape[3], height: batch.shape[2])
    }
  }
}
