import Foundation
import Kernels
import Networks
import Pictures
import Synchronization
import TestSupport

/// What a run of the built `tsdf` printed and how it ended.
struct RunResult {
  var status: Int32
  var output: String
  var errors: String
}

/// The built executable, beside the tests.
let executable = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent(
  "tsdf")

/// The OpenCL driver that does nothing (Tests/NullDriver), beside them.
let nullDriver = executable.deletingLastPathComponent().appendingPathComponent("libNullDriver.so").path

/// A started process that has not been waited for. It keeps nothing between runs: those that are killed while kernels are built would
/// leave their marks in the user's cache, and later ones would take the compiler for broken.
func startTSDF(_ arguments: [String], environment: [String: String] = [:]) throws -> (
  process: Process, out: Pipe, err: Pipe
) {
  let process = makeProcess(arguments, environment: environment.merging(["TSDF_CACHE": ""]) { given, _ in given })
  let (out, err) = (Pipe(), Pipe())
  process.standardOutput = out
  process.standardError = err
  try process.run()
  return (process, out, err)
}

/// Runs `tsdf` to its end.
func tsdf(_ arguments: String..., environment: [String: String] = [:]) throws -> RunResult {
  try tsdf(arguments, environment: environment)
}

/// - Parameter input: what it reads from stdin; as much as a pipe holds.
func tsdf(_ arguments: [String], environment: [String: String] = [:], input: String? = nil) throws -> RunResult {
  let process = makeProcess(arguments, environment: environment)
  if let input {
    let pipe = Pipe()
    try pipe.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try pipe.fileHandleForWriting.close()
    process.standardInput = pipe
  }
  return try finish(process)
}

/// Runs a process to its end.
func finish(_ process: Process) throws -> RunResult {
  let (out, err) = (Pipe(), Pipe())
  (process.standardOutput, process.standardError) = (out, err)
  try process.run()
  let errors = Handover()
  let group = DispatchGroup()
  let source = err.fileHandleForReading
  DispatchQueue.global().async(group: group) { errors.data.withLock { $0 = source.readDataToEndOfFile() } }
  let output = out.fileHandleForReading.readDataToEndOfFile()
  group.wait()
  process.waitUntilExit()
  return RunResult(
    status: process.terminationStatus, output: String(decoding: output, as: UTF8.self),
    errors: String(decoding: errors.data.withLock { $0 }, as: UTF8.self))
}

private func makeProcess(_ arguments: [String], environment: [String: String]) -> Process {
  let process = Process()
  process.executableURL = executable
  process.arguments = arguments
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  process.currentDirectoryURL = projectURL("")
  return process
}

/// Starts a command, sends it a signal when something has happened, and gives how it ended and what it said.
func interrupt(_ arguments: [String], with signal: Int32, when isReady: () -> Bool) throws -> (
  status: Int32, errors: String
) {
  let (process, _, err) = try startTSDF(arguments)
  while !isReady(), process.isRunning { usleep(2000) }
  kill(process.processIdentifier, signal)
  let errors = String(decoding: err.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  return (process.terminationStatus, errors)
}

/// Data handed from one thread to another.
private final class Handover: Sendable {
  let data = Mutex(Data())
}

/// A picture without a face: smooth colours with some texture.
func syntheticImage(width: Int = 96, height: Int = 80, channels: Int = 3, bitDepth: Int = 8) -> Image {
  var bytes: [UInt8] = []
  for y in 0..<height {
    for x in 0..<width {
      for c in 0..<channels {
        let value = 40 + (x * 3 + y * 2 + c * 50 + (x * y) % 7 * 5) % 170
        bytes += bitDepth == 8 ? [UInt8(value)] : [UInt8(value * 7 % 256), UInt8(value)]
      }
    }
  }
  return Image(width: width, height: height, channels: channels, bitDepth: bitDepth, bytes: bytes)
}

/// A perturbation of random noise and a tiny generator, written to a folder: enough to run every command.
func writeSmallModels(to folder: TemporaryFolder, seed: UInt64 = 5) throws {
  let device = CPUDevice()
  let generator = try StarGANGenerator(
    width: 4, blocks: 1, attributes: ["A", "B"], imageSize: 64, seed: 3, device: device)
  try generator.write(to: folder.url.appendingPathComponent("generator.safetensors"))
  var random = RandomStream(seed: seed)
  let noise = try random.uniform([1, 3, 64, 64], in: -0.05..<0.05, device: device)
  try Safetensors.write(
    ["perturbation": noise], metadata: ["kind": "perturbation", "epsilon": "0.05"],
    to: folder.url.appendingPathComponent("perturbation.safetensors"))
}
