import SystemPackage

extension WorkList {
  /// Many items in little memory: each takes its name's bytes and sixteen more, and is put together when it is asked for.
  package struct Items: RandomAccessCollection, Sendable {
    private struct Folder: Equatable, Sendable {
      let path: FilePath, relativePath: FilePath
      /// The last component of the relative path, where it is not the path's.
      let name: FilePath.Component?
    }

    private struct Record: Sendable {
      /// Where the name ends; it begins where the one before ends.
      let end: Int
      let folder: UInt32
      let kind: FileKind
    }

    private var folders: [Folder] = []
    private var names: [UInt8] = []
    private var records: [Record] = []

    package init() {}

    /// These items, in their order.
    package init(_ items: some Sequence<Item>) {
      for item in items { append(item) }
    }

    package var startIndex: Int { 0 }
    package var endIndex: Int { records.count }

    package subscript(index: Int) -> Item {
      let record = records[index]
      let name = FilePath(bytes: names[(index == 0 ? 0 : records[index - 1].end)..<record.end])
      let folder = folders[Int(record.folder)]
      return Item(
        path: folder.path.pushing(name),
        relativePath: folder.relativePath.pushing(folder.name.map { FilePath($0) } ?? name), kind: record.kind)
    }

    package mutating func append(_ item: Item) {
      let (name, relativeName) = (item.path.lastComponent, item.relativePath.lastComponent)
      let folder = Folder(
        path: item.path.removingLastComponent(), relativePath: item.relativePath.removingLastComponent(),
        name: relativeName == name ? nil : relativeName)
      if folders.last != folder { folders.append(folder) }
      names += name.map { FilePath($0).bytes } ?? []
      records.append(Record(end: names.count, folder: UInt32(folders.count - 1), kind: item.kind))
    }
  }
}
