import ArgumentParser

@main
struct TSDFCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tsdf", abstract: "Keeps face photos out of deepfakes.", version: versionText(),
    subcommands: [
      ProtectCommand.self, CraftCommand.self, EvaluateCommand.self, DetectCommand.self, EditCommand.self,
      PrepareCommand.self, TrainCommand.self, RetrainCommand.self, QualityCommand.self, PersistCommand.self,
      ForwardCommand.self, ConvertCommand.self,
      DevicesCommand.self,
      BenchCommand.self,
    ])

  /// Runs the command that the arguments ask for; it is done only when its results are written.
  static func main() {
    StandardStreams.secure()
    do {
      try refuseEmpty(CommandLine.arguments.dropFirst())
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

  /// Refuses what a script gives whose variable is not set: taken for a path it would be the current folder. Lists may be empty.
  private static func refuseEmpty(_ arguments: ArraySlice<String>) throws {
    let lists: Set = ["--tags", "--labels"]
    for (before, argument) in zip(arguments.prefix(1) + arguments, arguments)
    where argument.isEmpty && !lists.contains(before) || argument.hasPrefix("--") && argument.hasSuffix("=") {
      let place = argument.isEmpty ? before.hasPrefix("-") ? " of \(before)" : "" : " of \(argument.dropLast())"
      throw ValidationError("a value\(place) is empty")
    }
  }
}
