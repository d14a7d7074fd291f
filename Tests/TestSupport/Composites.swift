import Kernels
import Pictures

/// Where a head is pasted into a picture: its left upper corner and width.
public struct PastedHead: Sendable {
  public var x: Int, y: Int, width: Int

  public init(x: Int, y: Int, width: Int) { (self.x, self.y, self.width) = (x, y, width) }

  public var height: Int { width * 4 / 3 }

  /// About where detectors see the face.
  public var face: Box {
    let scale = Float(width) / 210
    return Box(x0: 52, y0: 60, x1: 148, y1: 182).scaled(x: scale, y: scale).shifted(x: Float(x), y: Float(y))
  }
}

/// A picture of smooth colours with the head of photos/astronaut.png in it, as often as is asked for.
public func photo(width: Int, height: Int, heads: [PastedHead]) throws -> Image {
  let astronaut = try ImageFile(contentsOf: projectURL("photos/astronaut.png")).image
  var bytes = [UInt8](repeating: 0, count: 3 * width * height)
  for y in 0..<height {
    for x in 0..<width {
      let at = 3 * (y * width + x)
      (bytes[at], bytes[at + 1]) = (UInt8(70 + x * 90 / width), UInt8(80 + y * 80 / height))
      bytes[at + 2] = UInt8(120 + (x / 7 + y / 5) % 3)
    }
  }
  for head in heads {
    let planes = astronaut.planes(
      of: Box(x0: 120, y0: 10, x1: 330, y1: 290), height: head.height, width: head.width)
    let area = head.width * head.height
    for y in 0..<head.height {
      for x in 0..<head.width {
        let depth = min(x, y, head.width - 1 - x, head.height - 1 - y)
        let share = min(1, Float(depth) / (Float(head.width) / 12))
        for channel in 0..<3 {
          let at = 3 * ((head.y + y) * width + head.x + x) + channel
          let level = (planes[channel * area + y * head.width + x] + 1) * 127.5
          bytes[at] = UInt8((share * level + (1 - share) * Float(bytes[at])).rounded())
        }
      }
    }
  }
  return Image(width: width, height: height, channels: 3, bytes: bytes)
}
