import Kernels
import Pictures
import SystemPackage

/// Tells copies that earlier runs made from photos, by the journals of the folders that they lie in.
package struct OwnCopies {
  /// Of each folder; nil where it has none.
  private var journals: [FilePath: JournalReader<ProtectedFile>?] = [:]

  package init() {}

  /// Whether a file is a copy, with the bytes that it got.
  package mutating func contains(_ item: WorkList.Item) -> Bool {
    var (folder, name) = (item.path, FilePath())
    while let last = folder.lastComponent {
      folder.removeLastComponent()
      name = FilePath(last).pushing(name)
      if let lines = journal(of: folder)?.lines(of: name), !lines.isEmpty, isOne(of: lines, item) { return true }
    }
    return false
  }

  private mutating func journal(of folder: FilePath) -> JournalReader<ProtectedFile>? {
    if let known = journals[folder] { return known }
    let journal = JournalReader<ProtectedFile>(in: folder)
    journals[folder] = .some(journal)
    return journal
  }

  private func isOne(of lines: [ProtectedFile], _ item: WorkList.Item) -> Bool {
    (try? withRegularFile(item.path) { file in
      let stamp = FileStamp(try Stat(file))
      if lines.contains(where: { $0.copyStamp == stamp }) { return true }
      guard lines.contains(where: { $0.bytes == stamp.size }) else { return false }
      let digest = try sha256(of: file)
      return lines.contains { $0.copy == digest }
    }) ?? false
  }
}

@available(*, unavailable)
extension OwnCopies: Sendable {}
