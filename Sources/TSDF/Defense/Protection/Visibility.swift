import Foundation
import Kernels
import Pictures

/// How visible a protection may be.
public enum ProtectionLevel: String, Codable, CaseIterable, Sendable {
  /// The least visible and the weakest.
  case gentle
  /// What is taken unless something else is asked for.
  case standard
  /// Flat places get all of the budget too.
  case strong

  /// How much of the budget flat places get, 0...1.
  public var smoothShare: Float {
    switch self {
    case .gentle: 0.6
    case .standard: 0.85
    case .strong: 1
    }
  }
}

/// Where a perturbation shows less, and so how much of the budget each pixel gets, from 0 to 1.
enum Visibility {
  /// The part of a square's side over which the budget rises from 0 at its border, so that no edge shows where it ends. A face's
  /// box ends there, with the usual margin.
  private static let border: Float = 0.15
  /// Over what distance texture counts, in pixels, and what deviation of the luminance, in units of [-1, 1], is none and plenty.
  private static let reach: Float = 1.5, flat: Float = 0.02, textured: Float = 0.12

  /// The values of a patch of a square, [1, 1, height, width]: all of the budget inside, a raised cosine over the border.
  static func square(_ square: Box, _ place: PatchPlace, device: any Device) throws -> Tensor {
    /// Along an extent of which the square takes a part.
    func line(_ first: Int, _ count: Int, _ low: Float, _ side: Float) -> [Float] {
      (0..<count).map { index in
        let position = (Float(first) + (Float(index) + 0.5) * Float(place.factor) - low) / side
        let depth = min(position, 1 - position) / border
        return depth <= 0 ? 0 : depth < 1 ? (1 - cos(Float.pi * depth)) / 2 : 1
      }
    }
    let columns = line(place.columns.lowerBound, place.width, square.x0, square.width)
    let rows = line(place.rows.lowerBound, place.height, square.y0, square.height)
    return try Tensor(rows, shape: [1, 1, place.height, 1], device: device)
      * Tensor(columns, shape: [1, 1, 1, place.width], device: device)
  }

  /// Pixels of an image [N, 3, H, W] by the texture around each: [N, 1, H, W]. Noise hides in texture (contrast masking) and shows on
  /// walls, sky and smooth skin.
  /// - Parameter smoothShare: how much of the budget flat places get.
  static func texture(_ image: Tensor, smoothShare: Float) throws -> Tensor {
    let weights = try Tensor([0.299, 0.587, 0.114], shape: [1, 3, 1, 1], device: image.device)
    let luminance = try (image * weights).sum(axes: [1], keepingAxes: true)
    var random = RandomStream(seed: 0)
    func mean(_ x: Tensor) throws -> Tensor { try BlurPurifier(reach)(x, random: &random) }
    let average = try mean(luminance)
    let deviation = try (mean(luminance.squared()) - average.squared()).relu().sqrt()
    let amount = try ((deviation - flat) * (1 / (textured - flat))).clamped(to: 0...1)
    return try amount.scaled(by: 1 - smoothShare, plus: smoothShare)
  }
}
