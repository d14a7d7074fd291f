import Foundation
import Kernels

/// The executable, whatever links lead to it.
var executable: URL {
  (Bundle.main.executableURL ?? URL(fileURLWithPath: CommandLine.arguments[0])).resolvingSymlinksInPath()
}

/// A path as given if it exists, else the same relative path in the folder of the executable or one above it, or in
/// share/tsdf there, where tools/install puts it: so that `tsdf` finds what it came with from wherever it is run.
func locate(_ path: String) -> URL {
  let given = URL(fileURLWithPath: path)
  guard !path.hasPrefix("/"), !FileManager.default.fileExists(atPath: given.path) else { return given }
  return besideExecutable([path, "share/tsdf/\(path)"]) ?? given
}

/// The version, and where tools/install has noted it, the commit of which the executable was built.
func versionText() -> String {
  guard let note = besideExecutable(["share/tsdf/commit"]), let commit = try? String(contentsOf: note, encoding: .utf8)
  else { return tsdfVersion }
  return "\(tsdfVersion) (\(commit.trimmingCharacters(in: .whitespacesAndNewlines)))"
}

/// The first of relative paths that exists in the folder of the executable or in one of the four above it.
private func besideExecutable(_ paths: [String]) -> URL? {
  var folder = executable.deletingLastPathComponent()
  for _ in 0..<5 {
    let candidates = paths.map { folder.appendingPathComponent($0) }
    if let found = candidates.first(where: { FileManager.default.fileExists(atPath: $0.path) }) { return found }
    folder.deleteLastPathComponent()
  }
  return nil
}
