/// What can go wrong below the domain: wrong shapes, a device at fault, a kernel that does not build.
public enum KernelsError: Error, CustomStringConvertible {
  /// An operation was given shapes or parameters that do not fit.
  case shape(operation: String, String)
  /// No device matches what was asked for.
  case noDevice(String)
  /// The device has no room for `bytes` more.
  case outOfMemory(device: String, bytes: Int)
  /// An OpenCL call failed with the status of this name.
  case openCL(call: String, status: String)
  /// A program of kernels.cl did not build; the driver's whole log.
  case build(program: String, device: String, log: String)
  /// An operation is not possible as asked (a missing gradient, tensors on different devices).
  case usage(String)

  /// What a kernel says of an operand that is not in its device's memory.
  static func elsewhere(than device: String) -> KernelsError {
    usage("a tensor is on another device than \(device); copy it there first (copied(to:))")
  }

  /// One or more lines for people; a build's log is part of it.
  public var description: String {
    switch self {
    case .shape(let operation, let message): return "\(operation): \(message)"
    case .noDevice(let message): return message
    case .outOfMemory(let device, let bytes):
      let amount = bytes == .max ? "that many" : "\(bytes)"
      return "\(device) has no room for \(amount) more bytes; use a smaller batch or another --device"
    case .openCL(let call, let status): return "OpenCL call \(call) failed: \(status)"
    case .build(let program, let device, let log):
      return "the \(program) kernels do not build on \(device):\n\(log)"
    case .usage(let message): return message
    }
  }
}
