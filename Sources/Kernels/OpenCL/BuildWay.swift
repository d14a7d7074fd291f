/// A way to build a program. Where a driver's compiler fails at one, or does not survive it, the next is taken.
struct BuildWay {
  /// What is done without, for people; empty for the first.
  let name: String
  /// What the program's text is made by.
  let parameters: KernelParameters
  /// Of clBuildProgram.
  let options: String

  /// The fastest first. All make the same kernels.
  static func all(_ parameters: KernelParameters) -> [BuildWay] {
    let options = KernelParameters.options
    var plain = parameters
    plain.prefetches = false
    var ways = [BuildWay(name: "", parameters: parameters, options: options)]
    if parameters.prefetches { ways.append(BuildWay(name: "without prefetching", parameters: plain, options: options)) }
    ways.append(BuildWay(name: "without optimization", parameters: plain, options: options + " -cl-opt-disable"))
    return ways
  }
}
