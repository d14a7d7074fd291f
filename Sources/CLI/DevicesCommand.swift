import ArgumentParser
import Foundation
import Kernels

struct DevicesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "devices", abstract: "List OpenCL devices, their limits, and which one auto takes.")

  @Flag(help: "As JSON.") var json = false
  @Flag(
    help:
      "Instead, as JSON, the OpenCL C of all programs of the device that auto takes, for its maker's offline compiler.")
  var kernels = false

  private struct Entry: Encodable {
    var device: String, name: String, platform: String, kind: String, version: String, driver: String
    var computeUnits: Int, maxWorkGroupSize: Int, localMemoryBytes: Int, globalMemoryBytes: Int
    var maxAllocationBytes: Int
  }

  private struct Listing: Encodable {
    var devices: [Entry]
    var auto: String, reason: String
  }

  func run() throws {
    if kernels {
      guard let device = try selectDevice().device as? OpenCLDevice else {
        throw KernelsError.noDevice("there is no OpenCL device whose kernels to list")
      }
      return print(try jsonText(KernelListing(device)))
    }
    let entries = try openCLDevices().map {
      Entry(
        device: "opencl:\($0.platformIndex):\($0.deviceIndex)", name: $0.name, platform: $0.platform,
        kind: $0.kind.rawValue, version: $0.version, driver: $0.driver, computeUnits: $0.computeUnits,
        maxWorkGroupSize: $0.maxWorkGroupSize, localMemoryBytes: $0.localMemoryBytes,
        globalMemoryBytes: $0.globalMemoryBytes, maxAllocationBytes: $0.maxAllocationBytes)
    }
    let choice = try selectDevice()
    if json {
      return print(try jsonText(Listing(devices: entries, auto: choice.device.name, reason: choice.reason)))
    }
    for entry in entries {
      print(
        """
        \(entry.device)  \(entry.name)
          \(entry.kind), \(entry.platform), \(entry.version), driver \(entry.driver)
          \(entry.computeUnits) compute units, work-groups up to \(entry.maxWorkGroupSize), \
        \(entry.localMemoryBytes >> 10) KiB local, \(entry.globalMemoryBytes >> 20) MiB global, \
        buffers up to \(entry.maxAllocationBytes >> 20) MiB
        """)
    }
    print("cpu  \(CPUDevice().summary)")
    print("auto takes \(choice.device.name): \(choice.reason)")
    if let note = choice.note { print(note) }
  }
}
