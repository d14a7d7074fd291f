import Foundation
import Kernels

/// A folder of images and the list of their attributes, in CelebA's `list_attr` format.
package struct LabelledFolder: Sendable {
  /// The list.
  package let list: URL
  /// The folder that the list's paths start at.
  package let images: URL

  /// A folder with a `list_attr*.txt`, and the images in its `images` or in itself; nil when it has no list.
  package init?(_ directory: URL) {
    let contents = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
    guard let name = contents.filter({ $0.hasPrefix("list_attr") && $0.hasSuffix(".txt") }).min() else { return nil }
    list = directory.appendingPathComponent(name)
    let images = directory.appendingPathComponent("images")
    self.images = FileManager.default.fileExists(atPath: images.path) ? images : directory
  }

  /// The same, or a folder `images` whose list is in the folder above it.
  package init?(around directory: URL) {
    if let folder = LabelledFolder(directory) {
      self = folder
    } else if directory.lastPathComponent == "images",
      let folder = LabelledFolder(directory.deletingLastPathComponent())
    {
      self = folder
    } else {
      return nil
    }
  }
}
