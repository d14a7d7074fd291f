import Foundation
import Kernels
import Pictures
import SystemPackage

/// The names of inputs' copies: the inputs' own below the folder that was named. Where two have the same, the later one's copy goes
/// to a folder named after its own; and each keeps its name in later runs.
package struct CopyNames: Sendable {
  private let copies: CopyFolder
  private var taken: Set<FilePath> = []

  package init(in copies: CopyFolder) { self.copies = copies }

  /// The names of these items' copies, in their order.
  /// - Parameter kind: what a copy is written as.
  package mutating func assign(_ items: [WorkList.Item], writtenAs kind: (WorkList.Item) -> FileKind) throws
    -> [FilePath]
  {
    let writtenAs = items.map(kind)
    var names = zip(items, writtenAs).map { known($0, as: $1) }
    taken.formUnion(names.compactMap { $0 })
    // Names that stay as they are go before those that get another ending.
    let kept = names.indices.filter { writtenAs[$0] == items[$0].kind }
    for index in kept + names.indices.filter({ writtenAs[$0] != items[$0].kind }) where names[index] == nil {
      let free = try candidates(items[index], writtenAs[index]).first { try isFree($0, for: items[index]) }
      taken.insert(free!)
      names[index] = free
    }
    return names.map { $0! }
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
    guard !taken.contains(name) else { return false }
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
  package var origin: String { sha256(Data(path.bytes)).hexadecimal }

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
