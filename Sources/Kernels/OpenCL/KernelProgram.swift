/// What is built at once: sections of kernels.cl.
struct KernelProgram {
  /// A section, and those of its variants that are wanted.
  private typealias Part = (section: KernelSection, variants: [KernelVariant])

  let name: String
  private let parts: [Part]

  /// What nearly every command needs. On a processor it is one program: PoCL takes 20 ms for a program, cached or not, and
  /// little of that for what is in it.
  private static let common: [Part] = [
    .elementwise, .binary, .movement, .pack, .gemm, .conv, .columns, .winograd, .blocks, .resample,
  ].map { ($0, $0 == .binary ? $0.variants.filter { commonOperations.contains($0.kernel) } : $0.variants) }

  /// The binary operations in it.
  private static let commonOperations = [BinaryOperation.add, .subtract, .multiply].map(\.kernel)

  /// The program that has a kernel of a section.
  /// - Parameter joins: whether what most commands need is one program.
  init(with kernel: String, of section: KernelSection, joins: Bool) {
    // Of many binary operations few are wanted, and together they would take a second: each is a program.
    let isAlone = section == .binary
    if joins, Self.common.contains(where: { $0.section == section }),
      !isAlone || Self.commonOperations.contains(kernel)
    {
      (name, parts) = ("common", Self.common)
    } else if isAlone {
      (name, parts) = (kernel, [(section, section.variants.filter { $0.kernel == kernel })])
    } else {
      (name, parts) = (section.rawValue, [(section, section.variants)])
    }
  }

  /// Every program of a class of kernels.
  static func all(_ parameters: KernelParameters, joins: Bool) -> [KernelProgram] {
    var programs: [KernelProgram] = []
    for section in KernelSection.allCases where section.isUsed(tiled: parameters.tileItems > 0) {
      for kernel in section == .binary ? section.variants.map(\.kernel) : [""] {
        let program = KernelProgram(with: kernel, of: section, joins: joins)
        if !programs.contains(where: { $0.name == program.name }) { programs.append(program) }
      }
    }
    return programs
  }

  /// The tile that it is built for, whose work-items its text depends on; nil of others.
  var tile: TiledProduct.Tile? { parts.first?.section.tile }

  /// What the host states, the prelude, what the sections share with others, and the sections, each followed by its variants.
  func text(_ parameters: KernelParameters) throws -> String {
    var names = ["prelude"]
    for name in parts.flatMap(\.section.shared) where !names.contains(name) { names.append(name) }
    let shared = try names.map(KernelSource.section).joined()
    let own = try parts.map { section, variants in
      let kernels = variants.isEmpty ? "" : try KernelSource.section("\(section.name)_kernel")
      return try KernelSource.section(section.name) + variants.map { $0.text(kernels) }.joined()
    }.joined()
    return KernelPrelude.text(parameters, tile: tile) + shared + own
  }
}
