/// Every program that a device's kernels are built from, for compilers that are not at hand: what an offline compiler of a
/// GPU's maker is given.
package struct KernelListing: Encodable, Sendable {
  /// A program's name, and its OpenCL C.
  package struct Program: Encodable, Sendable {
    /// That of its section; of matrix products, with the work-items of a work-group.
    package let name: String
    package let text: String
  }

  /// The options of clBuildProgram.
  package let options: String
  /// In no order.
  package let programs: [Program]

  /// - Throws: `KernelsError.usage` where a section is missing: a defect of this library.
  package init(_ device: OpenCLDevice) throws {
    let parameters = device.parameters
    options = KernelParameters.options
    programs = try KernelProgram.all(parameters, joins: device.isCPU).flatMap { program -> [Program] in
      guard let tile = program.tile else { return [Program(name: program.name, text: try program.text(parameters))] }
      return try KernelParameters.tileSizes(upTo: device.info.maxWorkGroupSize).filter(tile.suits).map { items in
        var sized = parameters
        sized.tileItems = items
        return Program(name: "\(program.name)_\(items)", text: try program.text(sized))
      }
    }
  }
}
