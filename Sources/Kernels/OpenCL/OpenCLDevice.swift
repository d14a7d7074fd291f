import COpenCL
import Foundation

/// A block of a device's memory that arenas cut up, and the host's memory that it stands on where the device is the
/// host's processor.
private struct Slab {
  var memory: cl_mem
  var host: UnsafeMutableRawPointer?
}

/// Memory of an OpenCL device: a range of a slab, or a memory object of its own.
final class OpenCLBuffer: Buffer {
  let memory: cl_mem
  private let range: Arena<Slab>.Range?
  private let device: OpenCLDevice

  fileprivate init(_ memory: cl_mem, range: Arena<Slab>.Range?, count: Int, device: OpenCLDevice) {
    self.memory = memory
    self.range = range
    self.device = device
    super.init(count: count, owner: device)
  }

  deinit {
    clReleaseMemObject(memory)
    if let range { device.arena.give(range) }
  }
}

/// Where a kernel is kept once it is made.
private struct KernelKey: Hashable {
  var section: KernelSection
  var name: String
}

/// A device of any OpenCL platform, with one in-order queue. Enqueuing never waits; reading back does.
package final class OpenCLDevice: Device {
  package let info: OpenCLDeviceInfo
  package var name: String { info.name }
  package var summary: String { "\(info.name) (\(info.kind.rawValue), \(info.platform), driver \(info.driver))" }

  /// Times kernels by their events while it is set. Slows the queue down.
  package var profiler: KernelProfiler? {
    didSet { if profiler != nil { profileQueue() } }
  }

  /// Is told what had to be done otherwise than it should be, for people.
  package var report: ((String) -> Void)? {
    get { builder.report }
    set { builder.report = newValue }
  }

  /// For tests: called where the driver's compiler would be.
  package var willBuild: (() -> Void)? {
    get { builder.willBuild }
    set { builder.willBuild = newValue }
  }

  /// The images of the batches that algorithms are chosen for; nil for as many as there are.
  private(set) var plannedBatch: Int?

  package func planning<R>(forBatchesOf count: Int, _ body: () throws -> R) rethrows -> R {
    let before = plannedBatch
    plannedBatch = count
    defer { plannedBatch = before }
    return try body()
  }

  package private(set) var parameters: KernelParameters
  let context: cl_context
  /// Without profiling until it is asked for: some drivers take twice as long for a launch with it.
  private(set) var queue: cl_command_queue
  private var isProfiling = false
  fileprivate let arena: Arena<Slab>
  let derivedBudget: DerivedBudget
  private let builder: ProgramBuilder
  private let lock = NSLock()
  private var programs: [String: cl_program] = [:]
  private var kernels: [KernelKey: LaunchableKernel] = [:]
  private var launchesSinceFlush = 0

  /// Opens a device; its kernels are built when first used. What `tune` found for it is used.
  /// - Parameter memoryLimit: the most bytes to hold in tensors; nil for all that the device has.
  package convenience init(_ info: OpenCLDeviceInfo, memoryLimit: Int? = nil) throws {
    try self.init(info, parameters: nil, memoryLimit: memoryLimit)
  }

  /// - Parameters:
  ///   - parameters: instead of the stored or the built-in ones.
  ///   - folder: where compiled programs and what was tuned are kept, and builds marked.
  package init(
    _ info: OpenCLDeviceInfo, parameters given: KernelParameters?, memoryLimit: Int? = nil,
    folder: URL? = cacheDirectory()
  ) throws {
    self.info = info
    isCPU = Self.isProcessor(info)
    parameters =
      given ?? TuningStore(device: info, isProcessor: isCPU, folder: folder).load()
      ?? KernelParameters(for: info, isProcessor: isCPU)
    let limit = min(memoryLimit ?? .max, info.usableBytes)
    derivedBudget = DerivedBudget(bytes: min(parameters.derivedBytes, limit / 16))
    arena = Arena(granule: max(1024, info.addressAlignment), slabLength: parameters.slabBytes, limit: limit)
    var status: cl_int = 0
    var id: cl_device_id? = info.id
    guard let context = clCreateContext(nil, 1, &id, nil, nil, &status) else {
      throw KernelsError.openCL(call: "clCreateContext", status: statusName(status))
    }
    self.context = context
    guard let queue = clCreateCommandQueue(context, info.id, 0, &status) else {
      throw KernelsError.openCL(call: "clCreateCommandQueue", status: statusName(status))
    }
    self.queue = queue
    builder = ProgramBuilder(info, context: context, folder: folder, condemns: given == nil)
  }

  deinit {
    trim()
    kernels.removeAll()
    for program in programs.values { clReleaseProgram(program) }
    clReleaseCommandQueue(queue)
    clReleaseContext(context)
  }

  /// Replaces the queue by one whose events have times.
  private func profileQueue() {
    guard !isProfiling else { return }
    clFinish(queue)
    var status: cl_int = 0
    let properties = cl_command_queue_properties(CL_QUEUE_PROFILING_ENABLE)
    guard let timed = clCreateCommandQueue(context, info.id, properties, &status) else { return }
    clReleaseCommandQueue(queue)
    (queue, isProfiling) = (timed, true)
  }

  /// Whether kernels run on processor cores: one work-item a register tile, no work-group to fill. TSDF_DEVICE_CLASS (cpu or
  /// gpu) overrides what the driver says, to test one class of kernels on a device of the other.
  package let isCPU: Bool

  static func isProcessor(_ info: OpenCLDeviceInfo) -> Bool {
    ProcessInfo.processInfo.environment["TSDF_DEVICE_CLASS"].map { $0 == "cpu" } ?? (info.kind == .cpu)
  }

  // MARK: Memory

  package var memory: (current: Int, peak: Int) { arena.byteCount }

  package func allocate(_ count: Int) throws -> Buffer {
    // Kernels count elements in 32 bits, and some with a sign. Batches are made smaller.
    let bytes = try byteCount(of: count)
    guard count < 1 << 31 else { throw KernelsError.outOfMemory(device: name, bytes: bytes) }
    let (range, slab) = try take(parameters.memoryLength(for: bytes))
    if parameters.slabBytes == 0 {
      clRetainMemObject(slab.memory)
      return OpenCLBuffer(slab.memory, range: range, count: count, device: self)
    }
    var region = cl_buffer_region(origin: range.offset, size: range.length)
    var status: cl_int = 0
    let flags = cl_mem_flags(CL_MEM_READ_WRITE)
    let type = cl_buffer_create_type(CL_BUFFER_CREATE_TYPE_REGION)
    guard let memory = clCreateSubBuffer(slab.memory, flags, type, &region, &status) else {
      arena.give(range)
      throw KernelsError.openCL(call: "clCreateSubBuffer", status: statusName(status))
    }
    return OpenCLBuffer(memory, range: range, count: count, device: self)
  }

  /// Bytes from which on a second copy costs more than waiting for the queue: weights, while a network is loaded.
  private static let largeUpload = 16 << 20

  package func upload(_ values: UnsafeRawBufferPointer) throws -> Buffer {
    let buffer = try allocate(values.count / 4)
    guard values.count > 0 else { return buffer }
    if values.count >= Self.largeUpload {
      try checkMemory(
        clEnqueueWriteBuffer(
          queue, memory(buffer), cl_bool(CL_TRUE), 0, values.count, values.baseAddress, 0, nil, nil),
        "clEnqueueWriteBuffer")
      return buffer
    }
    // From a copy that is freed when it has been read, so that the caller's is free at once and the queue need not drain.
    let staging = UnsafeMutableRawBufferPointer.allocate(byteCount: values.count, alignment: 64)
    staging.copyMemory(from: values)
    var event: cl_event?
    let status = clEnqueueWriteBuffer(
      queue, try memory(buffer), cl_bool(CL_FALSE), 0, staging.count, staging.baseAddress, 0, nil, &event)
    guard status == CL_SUCCESS, let event else {
      staging.deallocate()
      try checkMemory(status, "clEnqueueWriteBuffer")
      throw KernelsError.openCL(call: "clEnqueueWriteBuffer", status: statusName(status))
    }
    defer { clReleaseEvent(event) }
    try check(
      clSetEventCallback(event, CL_COMPLETE, { _, _, staging in staging?.deallocate() }, staging.baseAddress),
      "clSetEventCallback")
    return buffer
  }

  /// A range of a slab; where the device is full, once more after as much was given back, and then after all that is free was.
  private func take(_ length: Int) throws -> (Arena<Slab>.Range, Slab) {
    let full = KernelsError.outOfMemory(device: name, bytes: length)
    func make(_ size: Int?) throws -> Slab {
      guard let size else { throw full }
      return try makeSlab(size)
    }
    for wanted in [length, nil] {
      do {
        return try arena.take(length, make: make)
      } catch KernelsError.outOfMemory {
        giveBack(wanted)
      }
    }
    return try arena.take(length, make: make)
  }

  private func makeSlab(_ size: Int) throws -> Slab {
    guard size <= info.maxAllocationBytes else { throw KernelsError.outOfMemory(device: name, bytes: size) }
    var flags = cl_mem_flags(CL_MEM_READ_WRITE)
    var host: UnsafeMutableRawPointer?
    if info.kind == .cpu {
      // Huge pages made a gradient step slower: planes a power of two apart then meet in the same sets of the cache.
      host = aligned_alloc(4096, (size + 4095) / 4096 * 4096)
      if host == nil { throw KernelsError.outOfMemory(device: name, bytes: size) }
      flags |= cl_mem_flags(CL_MEM_USE_HOST_PTR)
    }
    var status: cl_int = 0
    guard let memory = clCreateBuffer(context, flags, size, host, &status) else {
      free(host)
      throw KernelsError.outOfMemory(device: name, bytes: size)
    }
    // Most GPUs' drivers take memory when it is first used, and only then tell that there is none.
    var zero: Float = 0
    if host == nil, clEnqueueFillBuffer(queue, memory, &zero, 4, 0, 4, 0, nil, nil) != CL_SUCCESS {
      clReleaseMemObject(memory)
      throw KernelsError.outOfMemory(device: name, bytes: size)
    }
    return Slab(memory: memory, host: host)
  }

  package func trim() { giveBack() }

  /// Gives slabs back that no tensor has a part of, of so many bytes; nil for all of them.
  private func giveBack(_ bytes: Int? = nil) {
    // A driver keeps a memory object of its own until no command needs it; it does not keep the host's memory under one.
    if bytes == nil || info.kind == .cpu { clFinish(queue) }
    arena.drain(bytes) { slab in
      clReleaseMemObject(slab.memory)
      free(slab.host)
    }
  }

  package func download(_ buffer: Buffer, into target: UnsafeMutableRawBufferPointer) throws {
    try check(
      clEnqueueReadBuffer(queue, memory(buffer), cl_bool(CL_TRUE), 0, target.count, target.baseAddress, 0, nil, nil),
      "clEnqueueReadBuffer")
    try profiler?.collect()
  }

  package func fill(_ buffer: Buffer, count: Int, value: Float) throws {
    var value = value
    try checkMemory(
      clEnqueueFillBuffer(queue, memory(buffer), &value, 4, 0, count * 4, 0, nil, nil), "clEnqueueFillBuffer")
  }

  package func synchronize() throws {
    try check(clFinish(queue), "clFinish")
    try profiler?.collect()
  }

  /// Throws the error of a command that was not queued, as one of memory where that was what it lacked.
  private func checkMemory(_ status: cl_int, _ call: @autoclosure () -> String) throws {
    if status == CL_MEM_OBJECT_ALLOCATION_FAILURE || status == CL_OUT_OF_HOST_MEMORY {
      throw KernelsError.outOfMemory(device: name, bytes: .max)
    }
    try check(status, call())
  }

  private func memory(_ buffer: Buffer) throws -> cl_mem {
    try requireOwn(buffer)
    return unsafeDowncast(buffer, to: OpenCLBuffer.self).memory
  }

  // MARK: Launching

  /// Queues a kernel of a section over `global` work-items (rounded up to whole groups: kernels guard their ids).
  /// - Parameter ending: arguments after the others, that kernels of a family share.
  func launch(
    _ section: KernelSection, _ kernelName: String, _ grouping: Grouping, global: [Int], ending: [Argument] = [],
    _ arguments: Argument...
  ) throws {
    lock.lock()
    defer { lock.unlock() }
    let kernel = try kernel(section, kernelName)
    let local = localSize(grouping, global, most: kernel.mostItems)
    var items = 1
    var sizes = (global: SIMD3<Int>(repeating: 1), local: SIMD3<Int>(repeating: 1))
    for (axis, count) in global.enumerated() {
      items *= local[axis]
      sizes.local[axis] = local[axis]
      sizes.global[axis] =
        grouping.countsGroups ? count * local[axis] : (count + local[axis] - 1) / local[axis] * local[axis]
    }
    for (index, argument) in arguments.enumerated() { try set(argument, at: index, of: kernel, kernelName, items) }
    for (index, argument) in ending.enumerated() {
      try set(argument, at: arguments.count + index, of: kernel, kernelName, items)
    }
    // An event is more work for the driver than a launch: only where it is wanted.
    var event: cl_event?
    let status = withUnsafeBytes(of: &sizes) { sizes in
      let axes = sizes.bindMemory(to: Int.self).baseAddress!
      return withUnsafeMutablePointer(to: &event) {
        clEnqueueNDRangeKernel(
          queue, kernel.kernel, cl_uint(global.count), nil, axes, axes + 4, 0, nil, profiler == nil ? nil : $0)
      }
    }
    try checkMemory(status, "clEnqueueNDRangeKernel of \(kernelName), global \(global), local \(local)")
    if let event { profiler?.record(kernelName, global, event) }
    // Drivers may hold work back until a flush; the host is far ahead, so hand it over now and then.
    launchesSinceFlush += 1
    if launchesSinceFlush >= 32 {
      launchesSinceFlush = 0
      try check(clFlush(queue), "clFlush")
    }
  }

  private func set(
    _ argument: Argument, at index: Int, of kernel: LaunchableKernel, _ name: String, _ groupSize: Int
  ) throws {
    let status: cl_int
    switch argument {
    case .buffer(let buffer):
      status = kernel.set(try memory(buffer), at: index)
    case .words(let words):
      guard words.fit else {
        throw KernelsError.shape(operation: name, "the tensor has more than 2^32 elements; use a smaller batch")
      }
      status = kernel.set(words, at: index)
    case .localPerItem(let bytes):
      status = kernel.set(localBytes: bytes * groupSize, at: index)
    }
    if status != CL_SUCCESS { try check(status, "clSetKernelArg(\(index)) of \(name)") }
  }

  // MARK: Programs

  private func kernel(_ section: KernelSection, _ name: String) throws -> LaunchableKernel {
    let key = KernelKey(section: section, name: name)
    if let kernel = kernels[key] { return kernel }
    let program = try program(section, for: name)
    var status: cl_int = 0
    guard let kernel = clCreateKernel(program, name, &status) else {
      throw KernelsError.openCL(call: "clCreateKernel(\(name))", status: statusName(status))
    }
    let launchable = LaunchableKernel(kernel, on: info.id)
    kernels[key] = launchable
    return launchable
  }

  private func program(_ section: KernelSection, for kernel: String) throws -> cl_program {
    guard section.isUsed(tiled: parameters.tileItems > 0) else {
      throw KernelsError.usage("\(kernel) is a kernel of another class of devices")
    }
    let wanted = KernelProgram(with: kernel, of: section, joins: isCPU)
    if let program = programs[wanted.name] { return program }
    let program = try builder.program(wanted, parameters)
    programs[wanted.name] = program
    return program
  }

  /// Makes the work-groups of tiles smaller where a kernel of theirs runs in none as large.
  /// - Returns: whether they were made so, and products are to be planned anew.
  func shrinkTiles(for section: KernelSection, _ name: String) throws -> Bool {
    lock.lock()
    defer { lock.unlock() }
    let most = try kernel(section, name).mostItems
    guard most < parameters.tileItems, let items = KernelParameters.tileSizes(upTo: most).first,
      items < parameters.tileItems
    else { return false }
    parameters.tileItems = items
    // They were built for so many.
    kernels = kernels.filter { !$0.key.section.dependsOnTiles }
    for section in KernelSection.allCases where section.dependsOnTiles {
      if let program = programs.removeValue(forKey: section.rawValue) { clReleaseProgram(program) }
    }
    return true
  }

  /// Bytes of memory that a work-item of a kernel takes because registers are too few for it, as far as its compiler says.
  func bytesBesideRegisters(_ section: KernelSection, _ name: String) throws -> Int {
    lock.lock()
    defer { lock.unlock() }
    return try kernel(section, name).bytesBesideRegisters
  }
}

@available(*, unavailable)
extension OpenCLDevice: Sendable {}
