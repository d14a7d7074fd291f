import Foundation

/// Where PoCL keeps compiled kernels. It fails as a whole where it cannot write there, and dies of a file that was cut: so the
/// folder is looked at before PoCL is asked for anything, and it gets another one where there is something wrong.
package struct PoCLCache {
  /// The folder that PoCL takes by its own rules.
  let folder: URL

  package init(folder: URL) { self.folder = folder }

  private init(environment: [String: String]) {
    func path(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    let given = path("POCL_CACHE_DIR")
    let cache =
      path("XDG_CACHE_HOME").map { "\($0)/pocl" } ?? path("HOME").map { "\($0)/.cache/pocl" } ?? "/tmp/pocl"
    folder = URL(fileURLWithPath: given ?? "\(cache)/kcache")
  }

  /// What was wrong with PoCL's folder, for people, and which one it has instead; nil where nothing was. To be asked for before
  /// the first call of OpenCL, and works once a process.
  static let replacement: String? = {
    let cache = PoCLCache(environment: ProcessInfo.processInfo.environment)
    guard let complaint = cache.complaint, let own = ownFolder() else { return nil }
    setenv("POCL_CACHE_DIR", own.path, 1)
    return "\(cache.folder.path) \(complaint); compiled kernels are kept in \(own.path) instead"
  }()

  /// Why PoCL cannot work with the folder; nil where it can.
  package var complaint: String? {
    if let reason = reasonNotToWrite { return "cannot be written (\(reason)), where PoCL keeps compiled kernels" }
    return damagedFile.map { "holds a damaged file of PoCL's (\($0.lastPathComponent))" }
  }

  /// What making something in the folder, or where it is to be made, comes to.
  private var reasonNotToWrite: String? {
    var place = folder
    var status = stat()
    while stat(place.path, &status) != 0, errno == ENOENT, place.path != "/" { place.deleteLastPathComponent() }
    let probe = place.appendingPathComponent(".tsdf-\(getpid())").path
    guard mkdir(probe, 0o700) == 0 else { return String(cString: strerror(errno)) }
    rmdir(probe)
    return nil
  }

  /// A file that is not whole.
  private var damagedFile: URL? {
    let files = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
    while let file = files?.nextObject() as? URL {
      if file.pathExtension == "so", !Self.isWhole(file, Self.elfLength) { return file }
      if file.lastPathComponent == "program.bc", !Self.isWhole(file, Self.bitcodeLength) { return file }
    }
    return nil
  }

  private static func isWhole(_ file: URL, _ length: (Data) -> Int?) -> Bool {
    guard let data = try? Data(contentsOf: file, options: .alwaysMapped) else { return false }
    return length(data).map { $0 <= data.count } ?? false
  }

  /// The bytes that a shared object has up to the end of its section headers, which come last.
  private static func elfLength(_ data: Data) -> Int? {
    guard data.count >= 64, data.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2, 1]) else { return nil }
    let (offset, size, count) = (
      integer(data, 40, UInt64.self), integer(data, 58, UInt16.self), integer(data, 60, UInt16.self)
    )
    return Int(exactly: offset).flatMap { offset in
      let (length, overflow) = offset.addingReportingOverflow(Int(size) * Int(count))
      return overflow || count == 0 ? nil : length
    }
  }

  /// The bytes that the blocks of LLVM bitcode say that there are.
  private static func bitcodeLength(_ data: Data) -> Int? {
    guard data.count > 12, data.starts(with: [0x42, 0x43, 0xc0, 0xde]) else { return nil }
    var offset = 4
    // A block starts with its kind, of two bits, and more in the same word; then its words are counted.
    while offset + 8 <= data.count, integer(data, offset, UInt32.self) & 3 == 1 {
      offset += 8 + 4 * Int(integer(data, offset + 4, UInt32.self))
    }
    return offset < data.count ? nil : offset
  }

  private static func integer<T: FixedWidthInteger>(_ data: Data, _ offset: Int, _: T.Type) -> T {
    T(littleEndian: data.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: T.self) })
  }

  /// A folder of this user's alone below the temporary one: the same for all runs where that is possible.
  private static func ownFolder() -> URL? {
    let temporary = FileManager.default.temporaryDirectory
    let common = temporary.appendingPathComponent("tsdf-pocl-\(getuid())")
    mkdir(common.path, 0o700)
    var status = stat()
    if lstat(common.path, &status) == 0, status.st_uid == getuid(), status.st_mode & (S_IFMT | 0o077) == S_IFDIR {
      if PoCLCache(folder: common).complaint == nil { return common }
    }
    var template = Array(temporary.appendingPathComponent("tsdf-pocl-XXXXXX").path.utf8CString)
    return mkdtemp(&template).map { URL(fileURLWithPath: String(cString: $0)) }
  }
}
