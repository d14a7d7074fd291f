import ArgumentParser
import Foundation
import Kernels
import Networks
import TSDF

/// What pictures are put through before networks look at them, by one attack.
struct PurifierOption: ParsableArguments {
  @OptionGroup var options: PurifierOptions

  func validate() throws {
    let recipes = try options.recipes()
    guard recipes.count < 2 else { throw ValidationError("--purify takes one attack here; + joins purifiers") }
    guard recipes.allSatisfy({ !$0.learnsFromOthers }) else {
      throw ValidationError("--purify average is for evaluate and persist, which know other protected pictures")
    }
  }

  /// The attack ready to run; nil where none was asked for.
  func load(on device: any Device) throws -> Purification? {
    try options.load(options.recipes(), on: device).first
  }
}

/// What pictures are put through before networks look at them: one or several attacks.
struct PurifierOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      """
      What protected pictures are put through, separated by commas: \(PurificationRecipe.help). @photo behind it does it to the \
      photo as it is stored, @network (the default) to what a network gets; + joins several to one attack. average takes off \
      what N other protected pictures have in common, component their first principal component. detect, edit and prepare take one attack, \
      without these two.
      """, valueName: "list"))
  var purify: String?
  @Option(help: "The weights that denoise of --purify means. (default: \(Denoiser.shipped))") var denoiser: String?

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
      try Purification($0, denoiser: locate(denoiser ?? Denoiser.shipped), on: device)
    }
  }
}

extension PurificationRecipe {
  /// What results follow from.
  /// - Parameter denoiser: which one is meant where none is named; nil for the shipped one.
  func identity(denoiser: String?) throws -> String {
    try identity(unnamed: locate(denoiser ?? Denoiser.shipped), digest: fileDigest)
  }
}
