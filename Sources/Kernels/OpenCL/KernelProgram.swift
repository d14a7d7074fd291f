/// What is built at once: sections of kernels.cl.
struct KernelProgram {
  /// A section, and which of its kernels; nil for all.
  private typealias Part = (section: KernelSection, kernels: [String]?)

  let name: String
  private let parts: [Part]

  /// What nearly every command needs. On a processor it is one program: PoCL takes 20 ms for a program, cached or not, and
  /// little of that for what is in it.
  private static let common: [Part] = [
    (.elementwise, nil), (.binary, ["binary_add", "binary_subtract", "binary_multiply"]), (.movement, nil),
    (.pack, nil), (.gemm, nil), (.conv, nil), (.columns, nil), (.winograd, nil), (.blocks, nil), (.resample, nil),
  ]

  /// The program that has a kernel of a section.
  /// - Parameter joins: whether what most commands need is one program.
  init(with kernel: String, of section: KernelSection, joins: Bool) {
    if joins, Self.common.contains(where: { $0.section == section && $0.kernels?.contains(kernel) ?? true }) {
      (name, parts) = ("common", Self.common)
    } else if section == .binary {
      // Many kernels of one line, few of them wanted: each is a program.
      (name, parts) = (kernel, [(section, [kernel])])
    } else {
      (name, parts) = (section.rawValue, [(section, nil)])
    }
  }

  /// Every program of a class of kernels.
  static func all(_ parameters: KernelParameters, joins: Bool) throws -> [KernelProgram] {
    var programs: [KernelProgram] = []
    for section in KernelSection.allCases where section.isUsed(tiled: parameters.tileItems > 0) {
      for kernel in section == .binary ? try binaryKernels() : [""] {
        let program = KernelProgram(with: kernel, of: section, joins: joins)
        if !programs.contains(where: { $0.name == program.name }) { programs.append(program) }
      }
    }
    return programs
  }

  /// The kernels of the section that is built one at a time.
  private static func binaryKernels() throws -> [String] {
    try KernelSource.section(KernelSection.binary.name).split(separator: "\n").filter { $0.hasPrefix("BINARY(") }
      .map { "binary_\($0.dropFirst("BINARY(".count).prefix { $0 != "," })" }
  }

  /// The tile that it is built for, whose work-items its text depends on; nil of others.
  var tile: TiledProduct.Tile? { parts.first?.section.tile }

  /// What the host states, the prelude, what the sections share with others, and the sections.
  func text(_ parameters: KernelParameters) throws -> String {
    var names = ["prelude"]
    for name in parts.flatMap(\.section.shared) where !names.contains(name) { names.append(name) }
    let shared = try names.map(KernelSource.section).joined()
    let own = try parts.map { part in
      let all = try KernelSource.section(part.section.name)
      return part.kernels.map { only($0, of: all) } ?? all
    }.joined()
    return KernelPrelude.text(parameters, tile: tile) + shared + own
  }

  private func only(_ kernels: [String], of text: String) -> String {
    text.split(separator: "\n", omittingEmptySubsequences: false).filter { line in
      !line.hasPrefix("BINARY(") || kernels.contains { line.hasPrefix("BINARY(\($0.dropFirst("binary_".count)),") }
    }.joined(separator: "\n")
  }
}
