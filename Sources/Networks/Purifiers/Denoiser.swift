import Foundation
import Kernels

/// Takes perturbations off pictures: a residual U-Net (Ronneberger et al., MICCAI 2015), whose output is added to the picture. Two
/// halvings by strided convolutions, as many doublings by transposed ones, joined by what has the same size; leaky ReLU
/// between, no norms, so that pictures of any size, in any part, are seen alike.
package struct Denoiser: Network {
  package static let name = "denoiser"
  /// The one that ships, which purifiers mean that name none.
  package static let shipped = "weights/denoiser.safetensors"
  /// The one that ships for protection to be made through: it learned in turns with protection made through it.
  package static let adversarial = "weights/adversarial-denoiser.safetensors"

  package var parameters: [String: Tensor]

  private static var activation: Activation { .leakyReLU(0.1) }
  private static let levels = 2

  /// Fresh parameters; what it changes at first is nothing.
  /// - Parameter width: channels at full size; each halving doubles them.
  package init(width: Int = 24, seed: UInt64, device: any Device) throws {
    try self.init(ParameterSource(seed: seed, device: device, .kaiming), width: width)
    parameters["last.weight"] = try parameters["last.weight"]! * 0
  }

  /// From a file of `tsdf train denoiser`.
  /// - Throws: `FileError` naming a tensor that is missing, of the wrong shape or too many.
  package init(_ state: StateDictionary) throws {
    try self.init(ParameterSource(state), width: state.require("first.weight", [nil, 3, 3, 3]).shape[0])
  }

  /// The same of a file.
  package init(contentsOf url: URL, on device: any Device) throws {
    try self.init(StateDictionary.read(url, on: device).state)
  }

  private init(_ source: ParameterSource, width: Int) throws {
    var source = source
    try source.layer("first", [width, 3, 3, 3], bias: width, rectified: false)
    for level in 0...Self.levels {
      let channels = width << level
      try source.layer("encoder.\(level)", [channels, channels, 3, 3], bias: channels)
      guard level < Self.levels else { break }
      try source.layer("down.\(level)", [2 * channels, channels, 4, 4], bias: 2 * channels)
      try source.layer("up.\(level)", [2 * channels, channels, 4, 4], bias: channels)
      try source.layer("decoder.\(level)", [channels, 2 * channels, 3, 3], bias: channels)
    }
    try source.layer("last", [3, width, 3, 3], bias: 3)
    parameters = try source.finished()
  }

  /// Pictures [N, 3, H, W] in [-1, 1] without what was added to them.
  package func callAsFunction(_ images: Tensor) throws -> Tensor {
    let (height, width) = (images.shape[2], images.shape[3])
    let multiple = 1 << Self.levels
    let (bottom, right) = ((multiple - height % multiple) % multiple, (multiple - width % multiple) % multiple)
    var x = try convolved(images.padded(top: 0, bottom: bottom, left: 0, right: right), "first")
    var sides: [Tensor] = []
    for level in 0...Self.levels {
      x = try convolved(x, "encoder.\(level)")
      guard level < Self.levels else { break }
      sides.append(x)
      x = try x.convolved(
        with: weight("down.\(level)"), bias: bias("down.\(level)"), stride: 2, padding: 1, activation: Self.activation)
    }
    for level in (0..<Self.levels).reversed() {
      let up = try x.transposeConvolved(
        with: weight("up.\(level)"), bias: bias("up.\(level)"), stride: 2, padding: 1
      ).activated(by: Self.activation)
      x = try convolved(Tensor.concatenated([sides[level], up], axis: 1), "decoder.\(level)")
    }
    let change = try x.convolved(with: weight("last"), bias: bias("last"), padding: 1)
      .sliced(axis: 2, 0..<height).sliced(axis: 3, 0..<width)
    return try (images + change).clamped(to: -1...1)
  }

  private func convolved(_ x: Tensor, _ name: String) throws -> Tensor {
    try x.convolved(with: weight(name), bias: bias(name), padding: 1, activation: Self.activation)
  }

  private func weight(_ name: String) -> Tensor { parameters["\(name).weight"]! }
  private func bias(_ name: String) -> Tensor { parameters["\(name).bias"]! }
}

@available(*, unavailable)
extension Denoiser: Sendable {}
