import ArgumentParser
import Foundation
import Kernels
import TSDF

/// Faces a batch: a number, or as many as the device holds.
enum BatchSize: ExpressibleByArgument {
  case auto
  case faces(Int)

  static let help: ArgumentHelp = "Faces a batch, or auto: as many as the device's memory holds."

  init?(argument: String) {
    if argument == "auto" {
      self = .auto
    } else if let count = Int(argument) {
      self = .faces(count)
    } else {
      return nil
    }
  }

  /// Nil where it is to be found out.
  var count: Int? {
    if case .faces(let count) = self { count } else { nil }
  }
}

/// How much of a batch a training works on at once, and what it keeps of it.
struct BatchOptions: ParsableArguments {
  @Option(name: [.customLong("batch-size"), .customLong("batch")], help: BatchSize.help) var size: BatchSize?
  @Option(help: "Parts that a batch is worked on in, one after another, whose gradients are added: less memory.")
  var accumulate: Int?
  @Flag(help: "Compute inner activations a second time for their gradients: less memory, more time.")
  var recompute = false
  @OptionGroup var gradientOptions: GradientOptions

  func applied(to recipe: TrainingRecipe) throws -> TrainingRecipe {
    var recipe = try gradientOptions.applied(to: recipe)
    if let count = size?.count { recipe.batch = count }
    (recipe.accumulate, recipe.recomputes) = (accumulate, recompute ? true : nil)
    return recipe
  }
}

extension CommonOptions {
  /// Settles a training's batch, refuses what the machine or the device does not hold, and says what a step takes.
  /// - Parameters:
  ///   - faces: held in memory, of `size` pixels a side.
  ///   - files: what a training goes on from.
  func plan(
    _ recipe: inout TrainingRecipe, batch: BatchSize?, from files: TrainingStart.Files? = nil, faces: Int, size: Int,
    on device: any Device, progress: Progress
  ) throws {
    try recipe.setBatch(batch, from: files, capacity: capacity(of: device))
    try requireMemory(forFaces: faces, size: size, batch: recipe.batch)
    let planned = try Trainer.plannedByteCounts(recipe, from: files)
    try requireMemory(planned.least, for: "a step with one face", limit: capacity(of: device), of: device.name)
    progress.note(
      String(
        format: "%d faces in batches of %d; a step takes about %.0f MiB of device memory", faces, recipe.batch,
        planned.whole / Double(1 << 20)))
  }
}

extension TrainingRecipe {
  /// Sets the batch where it is automatic: the largest power of two, up to 256, that fits into a part of the memory that leaves room
  /// for what estimates leave out.
  fileprivate mutating func setBatch(_ size: BatchSize?, from files: TrainingStart.Files?, capacity: Int) throws {
    guard case .auto = size else { return }
    let room = Double(capacity) * 0.7
    batch = 256
    while batch > 1, try Trainer.plannedByteCounts(self, from: files).whole > room { batch /= 2 }
  }
}
