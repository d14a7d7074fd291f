/// What is built at once: sections of kernels.cl.
struct KernelProgram {
  /// A section; of the binary operations', which of them.
  private typealias Part = (section: KernelSection, operation: BinaryOperation?)

  let name: String
  private let parts: [Part]

  /// What nearly every command needs. On a processor it is one program: PoCL takes 20 ms for a program, cached or not, and
  /// little of that for what is in it.
  private static let common: [Part] = [
    (.elementwise, nil), (.binary, .add), (.binary, .subtract), (.binary, .multiply), (.movement, nil),
    (.pack, nil), (.gemm, nil), (.conv, nil), (.columns, nil), (.winograd, nil), (.blocks, nil), (.resample, nil),
  ]

  /// The program that has a kernel of a section.
  /// - Parameter joins: whether what most commands need is one program.
  init(with kernel: String, of section: KernelSection, joins: Bool) {
    self.init(section, section == .binary ? BinaryOperation.allCases.first { $0.kernel == kernel } : nil, joins: joins)
  }

  private init(_ section: KernelSection, _ operation: BinaryOperation?, joins: Bool) {
    if joins, Self.common.contains(where: { $0 == (section, operation) }) {
      (name, parts) = ("common", Self.common)
    } else {
      // Of many binary operations few are wanted, and together they would take a second: each is a program.
      (name, parts) = (operation?.kernel ?? section.rawValue, [(section, operation)])
    }
  }

  /// Every program of a class of kernels.
  static func all(_ parameters: KernelParameters, joins: Bool) -> [KernelProgram] {
    var programs: [KernelProgram] = []
    for section in KernelSection.allCases where section.isUsed(tiled: parameters.tileItems > 0) {
      for operation: BinaryOperation? in section == .binary ? Array(BinaryOperation.allCases) : [nil] {
        let program = KernelProgram(section, operation, joins: joins)
        if !programs.contains(where: { $0.name == program.name }) { programs.append(program) }
      }
    }
    return programs
  }

  /// The tile that it is built for, whose work-items its text depends on; nil of others.
  var tile: TiledProduct.Tile? { parts.first?.section.tile }

  /// What the host states, the prelude, what the sections share with others, and the sections.
  func text(_ parameters: KernelParameters) throws -> String {
    var names = ["prelude"]
    for name in parts.flatMap(\.section.shared) where !names.contains(name) { names.append(name) }
    let shared = try names.map(KernelSource.section).joined()
    let own = try parts.map { part in
      let text = try KernelSource.section(part.section.name)
      return part.operation.map { $0.defines + text + BinaryOperation.undefines } ?? text
    }.joined()
    return KernelPrelude.text(parameters, tile: tile) + shared + own
  }
}

extension BinaryOperation {
  /// The name of its kernel.
  var kernel: String { "binary_\(rawValue)" }

  /// What the section of kernels.cl is its kernel by.
  fileprivate var defines: String { "#define BINARY_KERNEL \(kernel)\n#define BINARY_VALUE \(rawValue)_value\n" }
  fileprivate static let undefines = "#undef BINARY_KERNEL\n#undef BINARY_VALUE\n"
}
