import ArgumentParser
import Foundation
import Kernels
import Pictures
import SystemPackage

/// What every command takes.
struct CommonOptions: ParsableArguments {
  @Option(
    help: """
      auto, cpu, opencl[:P[:D]], or part of a device's name. protect, persist, craft, train and retrain share their work out over \
      several, separated by commas, or all. (default: TSDF_DEVICE, else auto)
      """)
  var device: String?

  @Option(help: "The most device memory for tensors, in MiB; larger batches are worked on in slices. (default: all)")
  var memoryLimit: Int?

  @Option(help: "The most pixels of a picture, in millions; larger ones are refused. (default: 200)")
  var largestPicture: Int?

  @Flag(help: "No progress on stderr; results and errors only.")
  var quiet = false

  func validate() throws {
    // In MiB: up to 2^50 bytes.
    try require("--memory-limit", memoryLimit, 1...1 << 30)
    try require("--largest-picture", largestPicture, 1...1_000_000)
  }

  /// What was asked for; nil for nothing.
  private var deviceRequest: String? {
    let request = device ?? ProcessInfo.processInfo.environment["TSDF_DEVICE"]
    return request?.isEmpty == false ? request : nil
  }

  /// The devices that were asked for, each as `openDevice` takes it; of `all` every OpenCL device, the CPU without any.
  func deviceRequests() throws -> [String] {
    guard let deviceRequest else { return ["auto"] }
    if deviceRequest == "all" {
      let found = try openCLDevices().map { "opencl:\($0.platformIndex):\($0.deviceIndex)" }
      return found.isEmpty ? ["cpu"] : found
    }
    let requests = deviceRequest.split(separator: ",").map(String.init)
    guard !requests.isEmpty else { throw ValidationError("--device names none") }
    return requests
  }

  /// Opens the device and says which and why.
  /// - Parameters:
  ///   - codesPictures: as much as anything else; then host memory is kept for the next picture.
  ///   - name: which device, in place of `--device`, which names one else.
  func openDevice(codesPictures: Bool = false, named name: String? = nil) throws -> any Device {
    if !codesPictures { returnLargeHostBlocks() }
    if let largestPicture { ImageFile.largestPixelCount = largestPicture * 1_000_000 }
    let request = name ?? deviceRequest
    if let request, request == "all" || request.contains(",") {
      throw ValidationError("--device \(request) names several devices; this command works on one")
    }
    do {
      let choice = try selectDevice(
        request, memoryLimit: memoryLimit.map { $0 << 20 })
      progress.note("device: \(choice.device.summary): \(choice.reason)")
      if let note = choice.note { progress.note(note) }
      let progress = progress
      (choice.device as? OpenCLDevice)?.report = { progress.note($0) }
      if let profile = ProcessInfo.processInfo.environment["TSDF_PROFILE"] {
        (choice.device as? OpenCLDevice)?.profiler = KernelProfiler(bySize: profile == "sizes")
      }
      return choice.device
    } catch let error as KernelsError {
      printError("\(error)")
      throw ExitCode(69)
    }
  }

  /// The bytes that tensors may take on a device.
  func capacity(of device: any Device) -> Int {
    let machine = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    let all = (device as? OpenCLDevice)?.info.globalMemoryBytes ?? machine
    return min(all, memoryLimit.map { $0 << 20 } ?? .max)
  }

  /// Under TSDF_PROFILE, the device time of each kernel (`sizes`: and global size) and the device's memory on stderr.
  func reportProfile(of device: any Device) throws {
    guard let device = device as? OpenCLDevice, let profiler = device.profiler else { return }
    try device.synchronize()
    let total = profiler.entries.values.reduce(0) { $0 + $1.seconds }
    for (name, entry) in profiler.entries.sorted(by: { $0.value.seconds > $1.value.seconds }) {
      let line = String(
        format: "%8.3f s %8.3f ms %5.1f%% %7d launches  ", entry.seconds, entry.shortest * 1e3,
        entry.seconds / max(total, 1e-9) * 100, entry.launches)
      StandardStreams.writeError(line + name + "\n")
    }
    let memory = "\(device.memory.current >> 20) MiB of device memory at the end, \(device.memory.peak >> 20) at most\n"
    StandardStreams.writeError(memory)
  }

  /// Where progress goes.
  var progress: Progress { Progress(isQuiet: quiet) }
}

extension KeptPrecision: ExpressibleByArgument {}

/// For commands that take gradients.
struct GradientOptions: RecipeOptions {
  @Option(help: "How activations are kept for gradients: single, or half for half the memory. (default: single)")
  var keptPrecision: KeptPrecision?
}

/// Lines about what is going on, on stderr: one that is rewritten on a terminal, an occasional plain one elsewhere.
final class Progress {
  private let isQuiet: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private var last = Date.distantPast
  private var lineIsOpen = false

  init(isQuiet: Bool) { self.isQuiet = isQuiet }

  /// Something worth a line of its own.
  func note(_ text: String) {
    guard !isQuiet else { return }
    closeLine()
    write(text + "\n")
  }

  /// How far it is; shown a few times a second on a terminal, every ten seconds elsewhere, and when it `isLast`.
  func update(_ text: @autoclosure () -> String, isLast: Bool = false) {
    guard !isQuiet, isLast || Date().timeIntervalSince(last) > (isTerminal ? 0.2 : 10) else { return }
    last = Date()
    if isTerminal {
      write("\r\u{1B}[K" + text() + (isLast ? "\n" : ""))
      lineIsOpen = !isLast
    } else {
      write(text() + "\n")
    }
  }

  /// How many images are done, at what pace, and how long the rest will take.
  func update(images finished: Int, of count: Int, since start: Date) {
    let pace = Date().timeIntervalSince(start) / Double(finished)
    let text = String(
      format: "%d/%d images  %.2f s each, %.0f s to go", finished, count, pace, pace * Double(count - finished))
    update(text, isLast: finished == count)
  }

  private func closeLine() {
    if lineIsOpen { write("\n") }
    lineIsOpen = false
  }

  private func write(_ text: String) { StandardStreams.writeError(text) }
}

/// A line on stderr that starts with the program's name.
func printError(_ text: String) {
  StandardStreams.writeError("tsdf: \(text)\n")
}

/// The images that arguments name; those that cannot be read are reported at once.
/// - Parameters:
///   - output: a folder that is left out.
///   - isPictureNeeded: whether other files are not enough.
///   - tellsProblems: whether to report.
func openWork(
  _ inputs: [String], leavingOut output: FilePath? = nil, isPictureNeeded: Bool = true, tellsProblems: Bool = true
) throws -> WorkList {
  let work = try WorkList(inputs, leavingOut: output, isPictureNeeded: false)
  if tellsProblems { for problem in work.problems { printError("\(problem)") } }
  guard !work.items.isEmpty || !isPictureNeeded && !work.others.isEmpty else { throw WorkList.nothingFound(inputs) }
  return work
}

/// Opens a folder for results, waiting for another run that works in it.
/// - Parameter names: results that will be written.
func resultFolder(_ path: String, for names: [FilePath] = []) throws -> ResultFolder {
  let path = FilePath(argument: path)
  return try ResultFolder(path, for: names, waiting: WaitingNote(path).repeat)
}

/// Says once that another process works in an output folder; a signal ends the waiting.
final class WaitingNote {
  private let folder: FilePath
  private var isSaid = false

  init(_ folder: FilePath) { self.folder = folder }

  func `repeat`() throws {
    if !isSaid { printError("\(FileError(folder, "another run works in this folder; waiting for its end"))") }
    isSaid = true
    try StopSignal.exitIfPending()
  }
}
