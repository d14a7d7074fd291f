import COpenCL

/// An argument's value, of 32-bit words.
struct KernelWords: Equatable {
  /// As many as the longest struct of kernels.cl has.
  private var words = SIMD16<UInt32>()
  private var count = 0
  /// Whether every value fits 32 bits.
  private(set) var fit = true

  init(_ word: UInt32) { (words[0], count) = (word, 1) }

  /// - Parameter values: at most 16.
  init(_ values: some Sequence<Int>) {
    for value in values { append(value) }
  }

  /// The fields of a struct, in its order.
  init<Structure: KernelStructure>(_ structure: Structure) {
    for field in Structure.kernelFields { append(field.value(structure)) }
  }

  private mutating func append(_ value: Int) {
    guard let word = UInt32(exactly: value), count < 16 else {
      fit = false
      return
    }
    words[count] = word
    count += 1
  }

  func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    withUnsafeBytes(of: words) { body(UnsafeRawBufferPointer(rebasing: $0[..<(4 * count)])) }
  }
}

extension OpenCLDevice {
  /// What a kernel is launched with.
  enum Argument {
    case buffer(Buffer)
    case words(KernelWords)
    /// Local memory of this many bytes for each work-item of the group.
    case localPerItem(Int)

    static func uint(_ value: Int) -> Argument { .words(KernelWords(CollectionOfOne(value))) }

    static func int(_ value: Int) -> Argument {
      Int32(exactly: value).map { .words(KernelWords(UInt32(bitPattern: $0))) } ?? .uint(.max)
    }

    static func float(_ value: Float) -> Argument { .words(KernelWords(value.bitPattern)) }

    /// - Parameter values: four.
    static func uint4(_ values: [Int]) -> Argument { .words(KernelWords(values)) }

    static func structure(_ structure: some KernelStructure) -> Argument { .words(KernelWords(structure)) }
  }
}

/// A kernel as it was last set: what has not changed since is not set again, which is most of what a step asks for.
final class LaunchableKernel {
  let kernel: cl_kernel
  /// The most work-items of a group: fewer than the device's where registers are too few for those.
  let mostItems: Int
  /// Bytes of memory that a work-item takes because registers are too few for it, as far as the compiler says.
  let bytesBesideRegisters: Int
  private var last: [KernelWords?] = []

  init(_ kernel: cl_kernel, on device: cl_device_id?) {
    self.kernel = kernel
    func answer(_ question: Int32) -> Int {
      var answer: cl_ulong = 0
      let status = clGetKernelWorkGroupInfo(kernel, device, cl_kernel_work_group_info(question), 8, &answer, nil)
      return status == CL_SUCCESS ? Int(clamping: answer) : 0
    }
    let most = answer(CL_KERNEL_WORK_GROUP_SIZE)
    mostItems = most > 0 ? most : .max
    // That of arrays, and CL_KERNEL_SPILL_MEM_SIZE_INTEL, which others do not know.
    bytesBesideRegisters = answer(CL_KERNEL_PRIVATE_MEM_SIZE) + answer(0x4109)
  }

  deinit { clReleaseKernel(kernel) }

  /// Sets an argument that is a value.
  func set(_ words: KernelWords, at index: Int) -> cl_int {
    while last.count <= index { last.append(nil) }
    if last[index] == words { return CL_SUCCESS }
    let status = words.withBytes { clSetKernelArg(kernel, cl_uint(index), $0.count, $0.baseAddress) }
    last[index] = status == CL_SUCCESS ? words : nil
    return status
  }

  /// Sets an argument that is memory. It is set each time: another object may have the place in memory of one that is gone.
  func set(_ memory: cl_mem, at index: Int) -> cl_int {
    var memory: cl_mem? = memory
    return clSetKernelArg(kernel, cl_uint(index), MemoryLayout<cl_mem?>.size, &memory)
  }

  /// Sets an argument that is local memory.
  func set(localBytes: Int, at index: Int) -> cl_int { clSetKernelArg(kernel, cl_uint(index), localBytes, nil) }
}
