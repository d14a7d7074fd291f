import CCodecs
import Foundation

/// An image as a bare PNG file.
public func encodePNG(_ image: Image) throws -> Data { try ImageFile(image, type: .png).encoded(as: .png) }

/// An image as a bare JPEG file.
public func encodeJPEG(_ image: Image, quality: Int) throws -> Data {
  try ImageFile(image, type: .jpeg).encoded(as: .jpeg, quality: quality)
}

/// How many samples a JPEG file has of the colours.
public enum ChromaSubsampling: Sendable {
  /// As many as of the lightness (4:4:4).
  case full
  /// Half as many in both directions (4:2:0): what cameras and sites write.
  case halved
}

/// The picture after a JPEG round trip at a quality: what a site that recompresses makes of it.
public func jpegRoundTrip(_ image: Image, quality: Int, subsampling: ChromaSubsampling = .full) throws -> Image {
  var file = ImageFile(image, type: .jpeg)
  file.subsampling = subsampling
  return try ImageFile(file.encoded(as: .jpeg, quality: quality), path: "JPEG").image
}

extension Image {
  /// This picture in a form that files of a type store.
  func fitted(to type: ImageType, notes: inout [String]) -> Image {
    let losesAlpha = hasAlpha && !type.storesAlpha
    if losesAlpha { notes.append("a \(type.name) file has no transparency: the copy is laid over white") }
    let narrows = bitDepth == 16 && !type.storesWide
    if narrows { notes.append("a \(type.name) file has 8 bits a sample: the copy's 16 are rounded") }
    let becomesRGB = colorChannels == 1 && !type.storesGrey
    guard losesAlpha || narrows || becomesRGB else { return self }
    let colors = becomesRGB ? 3 : colorChannels
    let keepsAlpha = hasAlpha && !losesAlpha
    let (target, depth, peak) = (colors + (keepsAlpha ? 1 : 0), narrows ? 8 : bitDepth, Int(self.peak))
    let result = [UInt8](unsafeUninitializedCapacity: width * height * target * depth / 8) { out, initialized in
      bytes.withUnsafeBytes { raw in
        let (narrow, wide) = (raw.bindMemory(to: UInt8.self), raw.bindMemory(to: UInt16.self))
        let wideOut = UnsafeMutableRawBufferPointer(out).bindMemory(to: UInt16.self)
        for i in 0..<width * height {
          func sample(_ c: Int) -> Int {
            bitDepth == 8 ? Int(narrow[i &* channels &+ c]) : Int(wide[i &* channels &+ c])
          }
          let alpha = hasAlpha ? sample(channels - 1) : peak
          for c in 0..<target {
            var value = keepsAlpha && c == target - 1 ? alpha : sample(becomesRGB ? 0 : c)
            if losesAlpha { value = (value * alpha + peak * (peak - alpha) + peak / 2) / peak }
            if narrows { value = (value * 255 + 32767) / 65535 }
            if depth == 8 {
              out[i &* target &+ c] = UInt8(truncatingIfNeeded: value)
            } else {
              wideOut[i &* target &+ c] = UInt16(truncatingIfNeeded: value)
            }
          }
        }
      }
      initialized = out.count
    }
    return Image(width: width, height: height, channels: target, bitDepth: depth, bytes: result)
  }

  /// The same without an alpha channel that is full everywhere.
  func withoutAlphaIfOpaque() -> Image {
    guard channels == 4, bitDepth == 8, (0..<width * height).allSatisfy({ bytes[4 * $0 + 3] == 255 }) else {
      return self
    }
    let colors = [UInt8](unsafeUninitializedCapacity: 3 * width * height) { out, initialized in
      for i in 0..<width * height {
        for c in 0..<3 { out[3 * i + c] = bytes[4 * i + c] }
      }
      initialized = out.count
    }
    return Image(width: width, height: height, channels: 3, bytes: colors)
  }
}
