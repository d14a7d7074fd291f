import Foundation
import Kernels
import SystemPackage

/// Faces with binary attributes: a folder of images and, beside it or in it, a list in CelebA's `list_attr` format:
/// the count, the attribute names, then `FILE v v v ...` with v = 1 or -1.
public struct Dataset: Sendable {
  /// A face: where its picture is, and its labels.
  public struct Item: Sendable {
    /// The file, which is read only when the picture is asked for.
    public let url: URL
    /// 1 where the face has the attribute, else 0, in the order of `attributes`.
    public let labels: [Float]

    /// The picture, upright.
    package func image() throws -> Image {
      let file = try ImageFile(contentsOf: url)
      return file.image.upright(from: file.orientation)
    }
  }

  /// The names of the labels; empty without labels.
  public let attributes: [String]
  private var folder: URL
  /// Paths below the folder.
  private var files: [String]
  /// Of all images, or of none.
  private let labels: [Bool]
  /// Those that are in this part of the whole.
  private let range: Range<Int>

  /// A labelled dataset. Looks for `list_attr*.txt` in `directory` and for the images in `directory/images` or in
  /// `directory` itself.
  /// - Parameters:
  ///   - directory: the folder.
  ///   - selecting: the attributes to keep, in this order; all by default.
  /// - Throws: `FileError` naming the list and the line at fault.
  public init(labelled directory: URL, selecting: [String]? = nil) throws {
    guard let labelled = LabelledFolder(directory) else {
      throw FileError(directory.path, "has no list_attr*.txt with the faces' attributes")
    }
    let faces = try AttributeList(contentsOf: labelled.list, selecting: selecting)
    folder = labelled.images
    (attributes, files, labels, range) = (faces.attributes, faces.files, faces.labels, faces.files.indices)
  }

  /// A folder of images without labels, in the order of their names; a file in place of a folder is one image.
  /// - Throws: `FileError` where there is no picture, or where something could not be opened.
  public init(images directory: URL) throws {
    let work = try WorkList([directory.path])
    if let failure = work.failures.first { throw failure }
    (attributes, labels) = ([], [])
    let isFile = try? Stat(FilePath(directory.path)).type == .regular
    folder = isFile == true ? directory.deletingLastPathComponent() : directory
    files = work.items.map(\.name)
    range = files.indices
  }

  private init(_ whole: Dataset, _ range: Range<Int>) {
    (attributes, folder, files, labels) = (whole.attributes, whole.folder, whole.files, whole.labels)
    self.range = range
  }

  /// The same faces as they are in another folder, or in its `images`, under the same names but for the type.
  /// - Throws: `FileError` naming the first that is not there.
  package func moved(to directory: URL) throws -> Dataset {
    var copy = self
    copy.folder = directory
    let types = ["png", "jpg", "jpeg", "PNG", "JPG", "JPEG"]
    for index in range {
      let file = files[index]
      let base = (file as NSString).deletingPathExtension
      // Faces without labels are named from the folder on, those with them from `images` on.
      let names = [file] + types.map { "\(base).\($0)" }
      let found = (names.map { "images/\($0)" } + names).first {
        FileManager.default.fileExists(atPath: directory.appendingPathComponent($0).path)
      }
      guard let found else {
        throw FileError(
          directory.appendingPathComponent(file).path,
          "does not exist, nor its like of another type; each face needs it")
      }
      copy.files[index] = found
    }
    return copy
  }

  /// The number of faces.
  public var count: Int { range.count }

  /// The faces, each made when it is looked at.
  public var items: some RandomAccessCollection<Item> {
    range.lazy.map { index in
      let first = index * attributes.count
      return Item(
        url: folder.appendingPathComponent(files[index]),
        labels: labels.isEmpty ? [] : labels[first..<first + attributes.count].map { $0 ? 1 : 0 })
    }
  }

  /// Some of the faces: those of a range of 0 ..< `count`, as far as they are there.
  public subscript(range: Range<Int>) -> Dataset {
    let first = self.range.lowerBound
    let inside = range.clamped(to: 0..<count)
    return Dataset(self, first + inside.lowerBound..<first + inside.upperBound)
  }
}
