import COpenCL
import Foundation

/// Builds a device's programs: from what was kept of an earlier run, else from source, in the first of several ways that its
/// driver's compiler gets through, alive.
final class ProgramBuilder {
  private let info: OpenCLDeviceInfo
  private let context: cl_context
  private let cache: ProgramCache
  /// Where builds are marked, or nil for nowhere.
  private let folder: URL?
  /// Whether a device for which nothing builds is left out of the choice from then on.
  private let condemns: Bool
  /// Is told what is not as it should be, for people.
  var report: ((String) -> Void)?
  /// For tests: called where the driver's compiler would be.
  var willBuild: (() -> Void)?

  init(_ info: OpenCLDeviceInfo, context: cl_context, folder: URL?, condemns: Bool) {
    (self.info, self.context, self.folder, self.condemns) = (info, context, folder, condemns)
    cache = ProgramCache(device: info, directory: folder)
  }

  /// - Throws: `KernelsError.build` where there is no way left.
  func program(_ wanted: KernelProgram, _ parameters: KernelParameters) throws -> cl_program {
    var failures: [String] = []
    // Whether it was tried at all: what fails, and lets its process live, may do better the next time.
    var isTried = false
    for way in BuildWay.all(parameters) {
      let source = try wanted.text(way.parameters)
      let file = cache.file(source: source, options: way.options, device: info)
      let marker = folder?.appendingPathComponent(
        "building-\(info.digest(source, way.options)).txt")
      let finding = marker.map { BuildMarker.begin($0, text: "\(wanted.name) kernels, by \(info.compiler)") }
      if let marker, case .left = finding {
        failures.append(
          "\(info.compiler) was building the \(wanted.name) kernels when two earlier runs ended: "
            + "to let it try that again, delete \(marker.path)")
        continue
      }
      defer { if case .marked(let marker) = finding { marker.end() } }
      isTried = true
      do {
        let program = try build(source, way.options, of: wanted, file)
        if !failures.isEmpty { report?("\(failures.joined(separator: "\n"))\nthey are built \(way.name)") }
        return program
      } catch KernelsError.build(_, _, let log) {
        failures.append("\(info.compiler) does not build the \(wanted.name) kernels:\n\(log)")
      }
    }
    if condemns, !isTried { info.markUnusable(in: folder, reason: failures.joined(separator: "\n")) }
    throw KernelsError.build(program: wanted.name, device: info.name, log: failures.joined(separator: "\n"))
  }

  private func build(_ source: String, _ options: String, of wanted: KernelProgram, _ file: URL?) throws -> cl_program {
    willBuild?()
    if let file, let binary = cache.load(file), let program = build(binary, options) { return program }
    var status: cl_int = 0
    let created = source.withCString { text in
      var text: UnsafePointer<CChar>? = text
      return clCreateProgramWithSource(context, 1, &text, nil, &status)
    }
    guard let program = created else {
      throw KernelsError.openCL(call: "clCreateProgramWithSource", status: statusName(status))
    }
    var id: cl_device_id? = info.id
    // LLVM, on which compilers rest, removes its temporary files when a signal comes, also one that the process lives through.
    guard (0..<2).contains(where: { _ in clBuildProgram(program, 1, &id, options, nil, nil) == CL_SUCCESS }) else {
      defer { clReleaseProgram(program) }
      throw KernelsError.build(program: wanted.name, device: info.name, log: log(of: program))
    }
    if let file { cache.store(program, to: file) }
    return program
  }

  /// A program from a cached binary, or nil when the driver does not take it.
  private func build(_ binary: Data, _ options: String) -> cl_program? {
    binary.withUnsafeBytes { bytes in
      var id: cl_device_id? = info.id
      var length = bytes.count
      var pointer = bytes.bindMemory(to: UInt8.self).baseAddress
      var binaryStatus: cl_int = 0
      var status: cl_int = 0
      guard let program = clCreateProgramWithBinary(context, 1, &id, &length, &pointer, &binaryStatus, &status)
      else { return nil }
      guard binaryStatus == CL_SUCCESS, clBuildProgram(program, 1, &id, options, nil, nil) == CL_SUCCESS else {
        clReleaseProgram(program)
        return nil
      }
      return program
    }
  }

  private func log(of program: cl_program) -> String {
    var length = 0
    clGetProgramBuildInfo(program, info.id, cl_program_build_info(CL_PROGRAM_BUILD_LOG), 0, nil, &length)
    var text = [CChar](repeating: 0, count: length + 1)
    clGetProgramBuildInfo(program, info.id, cl_program_build_info(CL_PROGRAM_BUILD_LOG), length, &text, nil)
    return string(text)
  }
}
