import ArgumentParser
import Foundation
import Kernels
import TSDF

/// What pictures are put through before networks look at them.
struct PurifierOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      What protected pictures are put through, separated by commas: \(PurificationRecipe.help). @photo behind it does it to the \
      photo as it is stored, @network (the default) to what a network gets; + joins several to one attack. average takes off \
      what N other protected pictures have in common.
      """, valueName: "list"))
  var purify: String?
  @Option(help: "The denoiser's weights. (default: weights/denoiser.safetensors)") var denoiser: String?

  func validate() throws { _ = try recipes() }

  /// What was asked for.
  func recipes() throws -> [PurificationRecipe] {
    do throws(PurifierError) {
      return try purify.map { text throws(PurifierError) in try PurificationRecipe.list(text) } ?? []
    } catch {
      throw ValidationError("--purify: \(error)")
    }
  }

  /// Attacks ready to run.
  func load(_ recipes: [PurificationRecipe], on device: any Device) throws -> [Purification] {
    try recipes.map {
      try Purification($0, denoiser: locate(denoiser ?? "weights/denoiser.safetensors"), on: device)
    }
  }
}
