/// A way to build a program. Where a driver's compiler fails at one, or does not survive it, the next is taken.
struct BuildWay {
  /// What is done without, for people; empty for the first.
  let name: String
  let source: String
  /// Of clBuildProgram.
  let options: String

  /// The fastest first. All make the same kernels.
  static func all(_ program: KernelProgram, _ parameters: KernelParameters) throws -> [BuildWay] {
    let options = KernelParameters.options
    var ways = [BuildWay(name: "", source: try program.text(parameters), options: options)]
    var plain = parameters
    plain.prefetches = false
    let source = try program.text(plain)
    if parameters.prefetches { ways.append(BuildWay(name: "without prefetching", source: source, options: options)) }
    ways.append(BuildWay(name: "without optimization", source: source, options: options + " -cl-opt-disable"))
    return ways
  }
}
