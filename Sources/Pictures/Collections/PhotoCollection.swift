import Foundation
import Kernels
import SystemPackage

/// Photos as they are collected: those that arguments name, with the labels of those in labelled folders.
package struct PhotoCollection: Sendable {
  package let items: WorkList.Items
  /// Arguments that could not be read.
  package let failures: [any Error]
  /// The names of the labels; empty when no folder is labelled.
  package let attributes: [String]
  /// Of each item, in the order of `attributes`; nil where no list has it.
  package let labels: [[Bool]?]

  /// - Parameter arguments: images and folders. Of a labelled folder the images' folder is walked, and paths start there.
  /// - Throws: `FileError` when nothing at all is found, a list is broken, or lists differ in their attributes.
  package init(_ arguments: [String]) throws {
    let folders = arguments.map { LabelledFolder(around: URL(fileURLWithPath: $0)) }
    let work = try WorkList(zip(arguments, folders).map { $1?.images.path ?? $0 })
    var known: [FilePath: [Bool]] = [:]
    var first: (attributes: [String], list: String)?
    for folder in folders.compactMap({ $0 }) {
      let list = try AttributeList(contentsOf: folder.list)
      if let first, first.attributes != list.attributes {
        throw FileError(folder.list.path, "has other attributes than \(first.list)")
      }
      first = first ?? (list.attributes, folder.list.path)
      let count = list.attributes.count
      let images = FilePath(folder.images.resolvingSymlinksInPath().path)
      for (index, file) in list.files.enumerated() {
        known[images.appending(file)] = Array(list.labels[index * count..<(index + 1) * count])
      }
    }
    (items, failures, attributes) = (work.items, work.problems, first?.attributes ?? [])
    labels = work.items.map { known[$0.path] }
  }
}
