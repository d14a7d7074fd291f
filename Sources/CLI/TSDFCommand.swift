import ArgumentParser
import TSDF

@main
struct TSDFCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tsdf", abstract: "Keeps face photos out of deepfakes.", version: tsdfVersion,
    subcommands: [CraftCommand.self, DetectCommand.self, TrainCommand.self])
}
