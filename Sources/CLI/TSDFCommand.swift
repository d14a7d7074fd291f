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

  /// Runs the command that the arguments ask for; it is done only when its results are written.
  static func main() {
    StandardStreams.secure()
    do {
      var command = try parseAsRoot()
      let end = Result { try command.run() }
      do {
        try StandardStreams.finishOutput()
      } catch {
        printError("\(error)")
        throw ExitCode(1)
      }
      try end.get()
    } catch {
      exit(withError: error)
    }
  }
}
