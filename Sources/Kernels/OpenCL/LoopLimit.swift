/// Mesa's llvmpipe ends a work-item's loops, without a word, after 65,535 rounds in all: long sums are wrong there.
extension OpenCLDevice {
  /// More rounds than such a device runs, and few enough that a float counts them.
  private static let rounds = 100_000

  /// Whether a kernel's loops run to their ends. Builds a kernel and runs it.
  package func runsLongLoops() throws -> Bool {
    let (one, sum) = (try allocate(1), try allocate(1))
    try fill(one, count: 1, value: 1)
    try launch(.loops, "count_rounds", .blocks, global: [1], .buffer(one), .buffer(sum), .uint(Self.rounds))
    var counted: Float = 0
    try withUnsafeMutableBytes(of: &counted) { try download(sum, into: $0) }
    return counted == Float(Self.rounds)
  }
}

extension OpenCLDeviceInfo {
  /// Why the device is of no use, for people: its driver builds no kernels, or their results would be wrong; nil where nothing is known
  /// against it. Only devices of the name that was caught at wrong results are asked, since that takes a compilation, and by what they do,
  /// since another version may do better.
  func defect() -> String? {
    guard buildsKernels else {
      return "\(name) is not used: \(compiler) builds no kernels of OpenCL 1.2 (it says \(version))"
    }
    guard name.hasPrefix("llvmpipe"), let device = try? OpenCLDevice(self), (try? device.runsLongLoops()) == false
    else {
      return nil
    }
    return "\(name) is not used: \(compiler) ends long loops early, and results would be wrong"
  }
}
