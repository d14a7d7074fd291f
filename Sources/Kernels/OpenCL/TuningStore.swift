import Foundation

/// What the tuner found, on disk: a file for each device, driver, class and text of the kernels.
package struct TuningStore {
  private let file: URL?

  /// - Parameter folder: where the file lies; nil for nowhere.
  package init(device: OpenCLDeviceInfo, isProcessor: Bool, folder: URL?) {
    let key = [
      device.platform, device.name, device.version, device.driver, "\(isProcessor)", KernelPrelude.structures,
      KernelSource.everything,
    ]
    .joined(separator: "\u{0}")
    let name = "tuning-\(sha256(Data(key.utf8)).hexadecimal.prefix(32)).json"
    file = folder?.appendingPathComponent(name)
  }

  /// Nil where nothing is stored, or what is there is damaged.
  package func load() -> KernelParameters? {
    guard let file, let data = try? Data(contentsOf: file) else { return nil }
    return try? JSONDecoder().decode(KernelParameters.self, from: data)
  }

  /// - Returns: the file, or nil where nothing is kept.
  package func store(_ parameters: KernelParameters) throws -> URL? {
    guard let file else { return nil }
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try JSONEncoder().encode(parameters).write(to: file, options: .atomic)
    return file
  }
}
