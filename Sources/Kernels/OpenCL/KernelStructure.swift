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

  /// The fields' values; nil where one does not fit 32 bits.
  var kernelValues: [UInt32]? {
    let values = Self.kernelFields.compactMap { UInt32(exactly: $0.value(self)) }
    return values.count == Self.kernelFields.count ? values : nil
  }
}

extension Conv2dGeometry: KernelStructure {
  static let kernelName = "Convolution"
  static let kernelFields: [KernelField<Conv2dGeometry>] = [
    ("batch", \.batch), ("channels", \.channels), ("height", \.height), ("width", \.width),
    ("outChannels", \.outChannels), ("outHeight", \.outHeight), ("outWidth", \.outWidth),
    ("kernelHeight", \.kernelHeight), ("kernelWidth", \.kernelWidth), ("stride", \.stride), ("padding", \.padding),
    ("dilation", \.dilation), ("groups", \.groups),
  ]
}
