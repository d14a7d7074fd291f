import ArgumentParser
import Foundation
import Kernels
import Pictures
import TSDF

/// Options of every training.
struct TrainingLoopOptions: ParsableArguments {
  @Option(help: "The run's random seed.") var seed: UInt64 = 1
  @Option(help: "Steps between checkpoints.") var checkpointEvery = 200
  @Option(help: "Steps between reports of the losses.") var reportEvery = 10
  @Option(help: "Stop where a loss is this many times what it was in the first reports, or no number.")
  var divergence: Float = 1000

  func validate() throws {
    try require("--checkpoint-every", checkpointEvery, 1...largestCount)
    try require("--report-every", reportEvery, 1...largestCount)
    try require("--divergence", divergence, 1...1e30)
  }
}

/// How every training of a generator goes. What is not given is as the model's authors have it.
struct OptimizerOptions: RecipeOptions {
  @Option(help: "Critic steps a generator step (not hisd, which takes one).") var criticSteps: Int?
  @Option(help: "Adam's learning rate.") var learningRate: Float?
  @Option(help: "Adam's learning rate for HiSD's mappers.") var mapperLearningRate: Float?
  @Option(
    help: """
      The learning rate falls to 0 over the last this many steps. (default: train: half of --steps, where that is given; retrain: 0)
      """) var decaySteps: Int?
  @Option(
    help: "Use an average of the generator's weights, of which a step keeps this share. (default: hisd 0.99, else none)"
  )
  var averaging: Float?
}

/// How many faces of a labelled folder are trained on: all but the last `holdOut`.
/// - Throws: `ValidationError` where that leaves none.
func trainingCount(_ dataset: Dataset, of folder: String, holdOut: Int) throws -> Int {
  guard dataset.count > holdOut else {
    throw ValidationError("\(folder) has \(dataset.count) faces; \(holdOut) held out leave none to train on")
  }
  return dataset.count - holdOut
}

/// Runs a training to its end: resumes, reports, writes OUTPUT, OUTPUT.checkpoint and OUTPUT.losses.jsonl; stops on signals and
/// where it diverges, with the last good state on disk.
struct TrainingLoop {
  let trainer: Trainer
  let output: String
  let options: TrainingLoopOptions
  let member: Member

  /// - Parameter afterStep: called after each generator step.
  func run(afterStep: () throws -> Void = {}) throws {
    let progress = member.progress
    try Safetensors.requireReplaceable(URL(fileURLWithPath: output))
    let checkpoint = URL(fileURLWithPath: output + ".checkpoint")
    if FileManager.default.fileExists(atPath: checkpoint.path) {
      try trainer.restore(from: checkpoint)
      progress.note("resuming at step \(trainer.step)")
    }
    try member.requireAgreement(on: "\(canonicalJSON(trainer.recipe)) \(trainer.step) \(trainer.warmUpStep)")
    let log =
      try member.isFirst
      ? LossLog(URL(fileURLWithPath: output + ".losses.jsonl"), step: trainer.step, warmUpStep: trainer.warmUpStep)
      : nil
    var divergence = DivergenceCheck(limit: options.divergence)
    let steps = trainer.recipe.steps
    let started = (step: trainer.step, time: Date())
    var taken = 0
    StopSignal.listen()
    while trainer.step < steps {
      let isWarmingUp = trainer.warmUpStepsLeft > 0
      let next = (isWarmingUp ? trainer.warmUpStep : trainer.step) + 1
      let isLast = !isWarmingUp && next == steps
      let isStopped = try member.isStopped()
      let isWritten = isLast || isStopped || (!isWarmingUp && next % options.checkpointEvery == 0)
      // What is written is looked at before.
      if let losses = try trainer.trainStep(reporting: isWritten || next % options.reportEvery == 0) {
        if let complaint = divergence.complaint(losses) {
          throw FileError(output, "training diverged at step \(next): \(complaint); \(kept(checkpoint))")
        }
        if isLast || next % options.reportEvery == 0 {
          try log?.add(step: trainer.step, warmUpStep: isWarmingUp ? trainer.warmUpStep : nil, losses)
        }
        let text = losses.map { String(format: "\($0.name) %.3f", $0.value) }.joined(separator: "  ")
        if isWarmingUp {
          progress.update("critic step \(next)/\(next + trainer.warmUpStepsLeft)  " + text)
        } else {
          let pace = Date().timeIntervalSince(started.time) / Double(trainer.step - started.step)
          progress.update(
            String(format: "step %d/%d  %.2f s a step  ", trainer.step, steps, pace) + text, isLast: isLast)
        }
      }
      taken += 1
      if !isWarmingUp, member.isFirst { try afterStep() }
      if isWritten, member.isFirst {
        try trainer.writeCheckpoint(to: checkpoint)
        try trainer.writeProduct(to: URL(fileURLWithPath: output))
        if !isLast, isStopped { progress.note("stopped at step \(trainer.step); the same command goes on") }
      }
      // One that came during the step is served after the next.
      if isStopped, !isLast { try StopSignal.exit() }
    }
    member.reportExchange(steps: taken, since: started.time)
  }

  private func kept(_ checkpoint: URL) -> String {
    guard let file = try? Safetensors(contentsOf: checkpoint), let step = file.metadata["step"] else {
      return "nothing was written yet"
    }
    return "\(checkpoint.lastPathComponent) and \(URL(fileURLWithPath: output).lastPathComponent) are of step \(step)"
  }
}
