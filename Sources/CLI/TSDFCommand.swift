import ArgumentParser
import Kernels

@main
struct TSDFCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tsdf", abstract: "Keeps face photos out of deepfakes.", version: tsdfVersion,
    subcommands: [
      ProtectCommand.self, CraftCommand.self, EvaluateCommand.self, DetectCommand.self, EditCommand.self,
      PrepareCommand.self, TrainCommand.self, RetrainCommand.self, PersistCommand.self, ForwardCommand.self,
      ConvertCommand.self,
      DevicesCommand.self,
      BenchCommand.self,
    ])
}
