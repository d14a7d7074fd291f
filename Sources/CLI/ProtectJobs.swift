import Kernels
import Pictures
import SystemPackage
import TSDF

/// An input of `tsdf protect` and its copy.
struct ProtectJob: Sendable {
  /// Among all inputs, those of other shards included.
  let number: Int
  let item: WorkList.Item
  /// The copy's, below the folder of copies.
  let name: FilePath
  /// Whether it is protected, not copied as it is.
  let isPicture: Bool
}

/// The inputs of a run, each put together when it is asked for: a million take little memory. Copies that earlier runs
/// made are left out.
struct ProtectJobs: Sendable {
  /// Of all shards.
  let count: Int
  /// The numbers of those that this run does, pictures first.
  let mine: [Int]
  /// Of this shard: how many copies that earlier runs made were left out, and the files that are neither protected nor copied.
  let ownCopyCount: Int, leftOut: WorkList.Items
  private let items: WorkList.Items
  private let pictureCount: Int
  /// Those that are not the items' relative paths.
  private let names: [Int: FilePath]

  /// - Parameters:
  ///   - work: what the command names.
  ///   - names: gives copies their names, which depend on all files, so that shards agree on them.
  ///   - shard: which of the files are done; nil for all.
  ///   - copiesOthers: whether files that are no pictures are copied.
  ///   - kind: what a copy is written as.
  init(
    _ work: WorkList, names: CopyNames, shard: Shard?, copiesOthers: Bool, writtenAs kind: (WorkList.Item) -> FileKind
  ) throws {
    var (items, names) = (WorkList.Items(), names)
    var (own, ownCopyCount, leftOut) = (OwnCopies(), 0, WorkList.Items())
    func isMine(_ item: WorkList.Item) -> Bool { shard?.contains(item.path) ?? true }
    /// Whether it is a copy, which is counted.
    func takesOut(_ item: WorkList.Item) -> Bool {
      guard own.contains(item) else { return false }
      ownCopyCount += isMine(item) ? 1 : 0
      return true
    }
    for item in work.items where !takesOut(item) { items.append(item) }
    let pictureCount = items.count
    for item in work.others where !takesOut(item) {
      if copiesOthers, item.kind != .special {
        items.append(item)
      } else if isMine(item) {
        leftOut.append(item)
      }
    }
    self.names = try names.assign(items, writtenAs: kind)
    mine = shard == nil ? Array(items.indices) : items.indices.filter { isMine(items[$0]) }
    (self.items, count, self.pictureCount) = (items, items.count, pictureCount)
    (self.ownCopyCount, self.leftOut) = (ownCopyCount, leftOut)
  }

  subscript(number: Int) -> ProtectJob {
    let item = items[number]
    return ProtectJob(
      number: number, item: item, name: names[number] ?? item.relativePath, isPicture: isPicture(number))
  }

  func isPicture(_ number: Int) -> Bool { number < pictureCount }
}
