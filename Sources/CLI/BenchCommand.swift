import ArgumentParser
import Foundation
import Kernels
import Networks

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Kernels against the device's measured peaks, whole steps, refinement, and protect against its codecs.",
    subcommands: [
      BenchKernelsCommand.self, BenchStepCommand.self, BenchRefineCommand.self, BenchProtectCommand.self,
    ],
    defaultSubcommand: BenchKernelsCommand.self)
}

struct BenchKernelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels", abstract: "Measured peaks, kernel families at the models' shapes, whole steps.")

  @Option(help: "Counted runs of each; the shortest is shown.") var runs = 5
  @Flag(help: "First find the fastest tiles and algorithms for this device, and keep them for all commands.") var tune =
    false
  @Flag(help: "As JSON.") var json = false
  @OptionGroup var models: DetectorOptions
  @OptionGroup var common: CommonOptions

  func validate() throws {
    try require("--runs", runs, 1...1_000_000)
  }

  private struct Listing: Encodable {
    var device: String
    var peaks: DevicePeaks?
    var rows: [KernelBench.Row]
  }

  /// Measures candidates, and says what was chosen on stderr.
  private func tuned(_ device: OpenCLDevice) throws -> OpenCLDevice {
    var tuner = KernelTuner(device)
    let file = try tuner.run { finding in
      common.progress.note(
        String(
          format: "%@  (%.2f ms, before %.2f ms)", finding.choice, finding.seconds * 1e3, finding.before * 1e3))
    }
    common.progress.note(file.map { "kept in \($0.path)" } ?? "not kept: TSDF_CACHE is empty")
    return try OpenCLDevice(device.info)
  }

  func run() throws {
    var device = try common.openDevice()
    if tune {
      guard let openCL = device as? OpenCLDevice else { throw ValidationError("--tune needs an OpenCL device") }
      device = try tuned(openCL)
    }
    var bench = try KernelBench(on: device, runs: runs)
    try bench.measureConvolutions()
    try bench.measureBandwidth()
    try bench.measureStarGAN()
    try bench.measure(try presentDetectors(on: device))
    if json { return print(try jsonText(Listing(device: device.summary, peaks: bench.peaks, rows: bench.rows))) }
    print(device.summary)
    if let peaks = bench.peaks {
      print(String(format: "peaks: %.1f GFLOP/s fused multiply-add, %.1f GB/s copy", peaks.gigaflops, peaks.gigabytes))
    }
    for row in bench.rows {
      let share = row.share.map { String(format: "%5.0f%% of peak", $0 * 100) } ?? ""
      let name = row.name.padding(toLength: 40, withPad: " ", startingAt: 0)
      print("\(name)\(String(format: "%10.2f ms %8.1f ", row.seconds * 1e3, row.rate))\(row.unit)  \(share)")
    }
  }

  /// The detectors whose weights are there.
  private func presentDetectors(on device: any Device) throws -> [(name: String, detector: any FaceDetector)] {
    try fetchedDetectorNames.filter { (try? finderFile($0, in: models.directory)) != nil }
      .map { ($0, try models.loadDetector($0, on: device)) }
  }
}
