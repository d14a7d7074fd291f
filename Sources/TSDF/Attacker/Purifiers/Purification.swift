import Foundation
import Kernels
import Networks
import Pictures

/// An attack on pictures without training, ready to run on a device.
public final class Purification {
  /// What it does.
  public let recipe: PurificationRecipe
  private var denoisers: [URL: Denoiser] = [:]
  /// The file of the denoiser that a recipe means which names none.
  private let unnamed: URL

  /// - Parameters:
  ///   - recipe: what is asked for.
  ///   - url: the file of the denoiser that a recipe means which names none.
  ///   - device: where it is done.
  /// - Throws: `FileError` where a denoiser's file is none.
  public init(_ recipe: PurificationRecipe, denoiser url: URL, on device: any Device) throws {
    (self.recipe, unnamed) = (recipe, url)
    for file in recipe.steps.compactMap({ $0.denoiser(unnamed: url) }) {
      denoisers[file] = try Denoiser(contentsOf: file, on: device)
    }
  }

  /// Purified images [N, 3, H, W] in [-1, 1], by the steps of one place.
  /// - Parameters:
  ///   - images: [N, 3, H, W] in [-1, 1].
  ///   - place: at which size it works.
  ///   - collection: so many other protected pictures of the images' size, or as many as there are, [M, 3, H, W], which the
  ///     attacker may learn from; nil where there are none.
  ///   - random: the stream that is drawn from.
  public func callAsFunction(
    _ images: Tensor, at place: PurifierPlace, collection: (_ count: Int) throws -> Tensor? = { _ in nil },
    random: inout RandomStream
  ) throws -> Tensor {
    var images = images
    for step in recipe.steps where step.place == place {
      switch step.kind {
      case .purifier(let type, let strength):
        images = try purifierTypes[type].init(strength)(images, random: &random)
      case .average(let count):
        guard let others = try collection(count) else { continue }
        images = try CommonResidual.mean(takenOff: images, of: others)
      case .component(let count):
        guard let others = try collection(count) else { continue }
        images = try CommonResidual.principalComponent(takenOff: images, of: others)
      case .denoiser: images = try denoisers[step.denoiser(unnamed: unnamed)!]!(images)
      }
    }
    return images
  }

  /// The same of a picture as it is stored, as 8-bit RGB.
  public func callAsFunction(
    _ image: Image, collection: (_ count: Int) throws -> Tensor? = { _ in nil }, random: inout RandomStream,
    on device: any Device
  ) throws -> Image {
    guard recipe.works(at: .photo) else { return image }
    let purified = try self(image.tensor(on: device), at: .photo, collection: collection, random: &random)
    return Image(planes: try purified.values(), width: image.width, height: image.height)
  }
}

@available(*, unavailable)
extension Purification: Sendable {}
