import ArgumentParser
import Foundation
import Kernels
import Networks
import Pictures
import Synchronization
import TSDF

struct PersistCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "persist",
    abstract: "Does protection last? Each defender against each attacker: prepare, retrain, judge.",
    discussion: """
      Runs the experiment of --recipe (recipes/persist.json): protects the photos that the attacker collects, prepares and \
      retrains as each attacker does, and judges the retrained generator on held-out faces with the same protection. Writes to \
      --output a folder for each arm, and results.json, results.csv and index.html, a page that shows them. The same command goes on where it \
      stopped, at any moment. Arms are shared out over the devices of --device, and over processes by --shard.

      Edits of protected faces are held against the retrained generator's own edits of the originals (own), and against the \
      edits before retraining (cross), of which only what exceeds the drift of clean edits counts.
      """)

  @Option(help: "The experiment: JSON.") var recipe = "recipes/persist.json"
  @Option(help: "A labelled folder of aligned faces (list_attr*.txt).") var data: String
  @Option(name: .shortAndLong, help: "The folder for everything.") var output: String
  @Option(
    help: ArgumentHelp(
      """
      Part I of N, I from 0 on: every N-th arm; others' results count where they are there. slurm: the part that Slurm's \
      variables say.
      """, valueName: "i/n|slurm"), transform: parseShard) var shard: Shard?
  @Flag(help: "The results as JSON on stdout instead of the table.") var json = false
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  private func readRecipe() throws -> PersistenceRecipe {
    do {
      return try PersistenceRecipe(contentsOf: locate(recipe))
    } catch let error as RecipeError {
      throw ValidationError("\(recipe): \(error)")
    } catch let error as FileError {
      throw ValidationError("\(error)")
    }
  }

  func run() throws {
    let experiment = try readRecipe()
    // Not kept open: other shards may write there.
    _ = try resultFolder(output, for: ["results.json", "results.csv", "index.html"])
    let dataset = try Dataset(labelled: URL(fileURLWithPath: data))
    let (folder, directory) = (URL(fileURLWithPath: output), models.directory)
    let networks = PersistenceModels(
      generator: { try loadGenerator($0, on: $1) },
      detector: { try Networks.loadDetector($0, from: directory, on: $1) },
      finder: { try Networks.loadFinder($0, from: directory, on: $1) }, locate: { locate($0) },
      metric: { [models] in models.weights(of: $0) })
    let requests = try common.deviceRequests()
    let arms = experiment.arms
    let own = arms.indices.filter { index in shard.map { index % $0.count == $0.index } ?? true }
    let shared = Mutex(Shared(progress: common.progress))
    StopSignal.listen()
    DispatchQueue.concurrentPerform(iterations: requests.count) { worker in
      do {
        let device = try common.openDevice(named: requests[worker])
        let run = try PersistenceExperiment(
          experiment, dataset: dataset, models: networks, folder: folder, device: device,
          shouldStop: { StopSignal.isPending }, note: { text in shared.withLock { $0.progress.update(text) } })
        while let next = shared.withLock({ $0.next(below: own.count) }), !StopSignal.isPending {
          do {
            _ = try run.run(arms[own[next]])
            shared.withLock {
              $0.done += 1
              $0.progress.note("\($0.done)/\(own.count) arms: \(arms[own[next]].path)")
            }
          } catch let error as FileError {
            shared.withLock { $0.failures.append(error) }
            printError("\(error)")
          }
        }
      } catch is Stopped {
        // What was in hand is on disk.
      } catch {
        shared.withLock { $0.failures.append(error) }
        if !(error is ExitCode) { printError("\(error)") }
      }
    }
    try StopSignal.exitIfPending()
    let failures = shared.withLock { $0.failures }
    // Said already, as of a device that there is not.
    if let code = failures.lazy.compactMap({ $0 as? ExitCode }).first { throw code }
    let summary = PersistenceSummary(try experiment.results(in: folder))
    let text = try jsonText(summary)
    let results = try resultFolder(output)
    try results.write(Data(text.utf8), to: "results.json")
    try results.write(Data(PersistenceTable.csv(summary).utf8), to: "results.csv")
    try results.write(Data(PersistencePage.html(experiment, summary, folder: folder).utf8), to: "index.html")
    print(json ? text : PersistenceTable.matrix(summary) + "\n" + PersistenceTable.text(summary))
    if !failures.isEmpty { throw ExitCode(1) }
  }

  /// What workers take turns at.
  private struct Shared {
    let progress: Progress
    var taken = 0, done = 0
    var failures: [any Error] = []

    /// The number of the next arm; nil when all are taken.
    mutating func next(below count: Int) -> Int? {
      guard taken < count else { return nil }
      taken += 1
      return taken - 1
    }
  }
}
