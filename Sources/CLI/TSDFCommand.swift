import ArgumentParser

@main
struct TSDFCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "tsdf", abstract: "Keeps face photos out of deepfakes.")
}
