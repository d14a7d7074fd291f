import Foundation
import Kernels
import Pictures
import SystemPackage

/// The names of inputs' copies: the inputs' own below the folder that was named. Where two have the same, the later one's copy goes
/// to a folder named after its own; and each keeps its name in later runs.
package struct CopyNames: Sendable {
  private let copies: CopyFolder
  /// The names that are given, by digests: a million take some 16 MB. Two names of one digest, should there be such, cost the second one its
  /// natural name.
  private var taken: Set<UInt64> = []

  package init(in copies: CopyFolder) { self.copies = copies }

  /// Gives these items' copies their names.
  /// - Parameter kind: what a copy is written as.
  /// - Returns: names by the items' places; what is not in it is named by its item's relative path, as most are.
  package mutating func assign(_ items: WorkList.Items, writtenAs kind: (WorkList.Item) -> FileKind) throws
    -> [Int: FilePath]
  {
    var others: [Int: FilePath] = [:]
    var isNamed = [Bool](repeating: false, count: items.count)
    func give(_ name: FilePath, _ index: Int, _ item: WorkList.Item) {
      taken.insert(name.digest.leadingNumber)
      isNamed[index] = true
      if name != item.relativePath { others[index] = name }
    }
    for (index, item) in items.enumerated() {
      if let name = known(item, as: kind(item)) { give(name, index, item) }
    }
    // Names that stay as they are go before those that get another ending.
    for isKept in [true, false] {
      for index in items.indices where !isNamed[index] {
        let item = items[index]
        let kind = kind(item)
        guard (kind == item.kind) == isKept else { continue }
        let name = try candidates(item, kind).first { try isFree($0, for: item) }
        give(name!, index, item)
      }
    }
    return others
  }

  /// The name that an item's copy has from an earlier run. Where two names in a row were never given, neither were those behind them:
  /// most items are looked up once, in a collection of any size.
  private func known(_ item: WorkList.Item, as kind: FileKind) -> FilePath? {
    let origin = item.origin
    var unknown = 0
    for name in candidates(item, kind).prefix(64) {
      guard let entry = copies.journal[name] else {
        unknown += 1
        if unknown == 2 { return nil }
        continue
      }
      if entry.origin == origin { return name }
      unknown = 0
    }
    return nil
  }

  /// Whether no other input has a name, neither in this run nor in an earlier one. An input that was moved since keeps it.
  private func isFree(_ name: FilePath, for item: WorkList.Item) throws -> Bool {
    guard !taken.contains(name.digest.leadingNumber) else { return false }
    guard let entry = copies.journal[name], entry.origin != nil else { return true }
    // One that cannot be read is named when its turn comes.
    return (try? copies.source(of: item, known: [entry]))?.digest == entry.source
  }

  /// Names from the natural one on, without end, each made when it is asked for.
  private func candidates(_ item: WorkList.Item, _ kind: FileKind) -> some Sequence<FilePath> {
    let ending = kind == item.kind ? nil : kind.type?.pathExtensions[0]
    var natural = item.relativePath
    if let ending { natural.setEnding(ending, keepingOld: false) }
    var names = [natural]
    if let ending {
      var longer = item.relativePath
      longer.setEnding(ending, keepingOld: true)
      names.append(longer)
    }
    let shortest = natural
    let deeper = {
      var folder = item.path
      for _ in item.relativePath.components { folder.removeLastComponent() }
      return sequence(state: (folder, shortest)) { state -> FilePath? in
        guard let last = state.0.lastComponent else { return nil }
        state.0.removeLastComponent()
        state.1 = FilePath(last).pushing(state.1)
        return state.1
      }
    }
    let numbered = {
      let longest = deeper().reduce(shortest) { $1 }
      return (2...).lazy.map { FilePath("\($0)").pushing(longest) }
    }
    let all = [{ AnySequence(names) }, { AnySequence(deeper()) }, { AnySequence(numbered()) }]
    return all.lazy.map { $0() }.joined()
  }
}

extension WorkList.Item {
  /// The SHA-256 of where the file lies.
  package var origin: String { path.digest.hexadecimal }

  /// How the file as it is now is known without reading it; nil where it was changed too lately to tell.
  package func stamp() throws -> FileStamp? { try withRegularFile(path) { FileStamp(try Stat($0)).settled } }
}

extension FilePath {
  /// Gives the last component another ending, or one more; a name that gets too long for file systems loses of its stem.
  fileprivate mutating func setEnding(_ ending: String, keepingOld: Bool) {
    guard let last = lastComponent else { return }
    let old = last.extension.map { $0.utf8.count + 1 } ?? 0
    let stem = FilePath(last).bytes
    let suffix = Array(".\(ending)".utf8)
    var kept = stem.prefix(min(stem.count - (keepingOld ? 0 : old), 255 - suffix.count))
    if kept.count < stem.count - (keepingOld ? 0 : old) {
      // Not in the middle of a character.
      while let byte = kept.last, byte & 0xC0 == 0x80 { kept.removeLast() }
      if let byte = kept.last, byte >= 0xC0 { kept.removeLast() }
    }
    removeLastComponent()
    self = pushing(FilePath(bytes: kept + suffix))
  }
}
