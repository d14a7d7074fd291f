/// A field of a struct: its name in kernels.cl, and where its value comes from.
typealias KernelField<Structure> = (name: String, value: @Sendable (Structure) -> Int)

/// A struct that kernels take by value. Its fields, all of 32 bits and unsigned, are named once, here: kernels.cl sees the
/// C text made of them.
protocol KernelStructure {
  /// The type's name in kernels.cl.
  static var kernelName: String { get }
  /// The fields in order.
  static var kernelFields: [KernelField<Self>] { get }
}

extension KernelStructure {
  /// The struct in C.
  static var kernelText: String {
    "typedef struct {\n  uint \(kernelFields.map(\.name).joined(separator: ", "));\n} \(kernelName);\n"
  }
}

extension Conv2dGeometry: KernelStructure {
  static let kernelName = "Convolution"
  static let kernelFields: [KernelField<Conv2dGeometry>] = [
    ("batch", { $0.batch }), ("channels", { $0.channels }), ("height", { $0.height }), ("width", { $0.width }),
    ("outChannels", { $0.outChannels }), ("outHeight", { $0.outHeight }), ("outWidth", { $0.outWidth }),
    ("kernelHeight", { $0.kernelHeight }), ("kernelWidth", { $0.kernelWidth }), ("stride", { $0.stride }),
    ("padding", { $0.padding }),
    ("dilation", { $0.dilation }), ("groups", { $0.groups }),
  ]
}
