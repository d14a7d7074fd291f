import Foundation
import Kernels
import Networks
import Pictures
import SystemPackage

/// Where the faces of photos really are: as a list says, or as detectors find in clean versions of the photos. A photo
/// is looked up by its path below its folder; of files that differ in their extension alone the one with the photo's
/// own is taken.
package struct FaceTruth: Sendable {
  /// What is known of one photo.
  package enum Source: Sendable {
    case boxes(PhotoDetections)
    /// The clean photo's path, for errors, and its bytes.
    case photo(String, Data)

    /// The same for the same faces: the SHA-256 of what they are known by.
    package var fingerprint: String {
      get throws {
        switch self {
        case .boxes(var detections):
          detections.file = ""
          return sha256(Data(try canonicalJSON(detections).utf8)).hexadecimal
        case .photo(_, let data): return sha256(data).hexadecimal
        }
      }
    }
  }

  private enum Store: Sendable {
    case list([PhotoDetections])
    case folder(WorkList.Items)
  }

  /// The list or the folder, for errors.
  private let path: String
  private let store: Store
  /// The places of what is known, by the last component of its path, without extension.
  private let places: [String: [Int]]

  /// A list as `tsdf detect` prints it.
  /// - Throws: `FileError` naming the file when it is no such list.
  package init(list url: URL) throws {
    let data = try contents(of: FilePath(url.path))
    guard let photos = try? JSONDecoder().decode([PhotoDetections].self, from: data) else {
      throw FileError(url.path, "is no list of faces as 'tsdf detect' prints it")
    }
    if let empty = photos.first(where: { $0.width < 1 || $0.height < 1 }) {
      throw FileError(url.path, "says that \(empty.file) has \(empty.width) x \(empty.height) pixels")
    }
    for photo in photos {
      for box in photo.faces.map(\.box) where ![box.x0, box.y0, box.x1, box.y1].allSatisfy(isPlace) {
        throw FileError(url.path, "has a box of \(photo.file) that lies in no picture")
      }
    }
    self.init(url, .list(photos), files: photos.map(\.file))
  }

  /// A folder of clean photos.
  /// - Throws: `FileError` naming the folder when it holds no image.
  package init(cleanFolder url: URL) throws {
    let collection = try PhotoCollection([url.path])
    if let failure = collection.failures.first { throw failure }
    self.init(url, .folder(collection.items), files: collection.items.map(\.name))
  }

  private init(_ url: URL, _ store: Store, files: [String]) {
    (path, self.store) = (url.path, store)
    places = Dictionary(grouping: files.indices) { Self.stem(files[$0]).last ?? "" }
  }

  /// What is known of a photo.
  /// - Parameter relativePath: the photo's path below its folder.
  /// - Throws: `FileError` naming the photo when nothing is known of it, or what is meant is not clear.
  package func source(of relativePath: String) throws -> Source {
    let wanted = Self.stem(relativePath)
    func isExact(_ file: String) -> Bool {
      (file as NSString).pathExtension == (relativePath as NSString).pathExtension
    }
    let near = places[wanted.last ?? ""] ?? []
    switch store {
    case .folder(let items):
      let same = near.map { items[$0] }.filter { Self.stem($0.name) == wanted }
      guard let item = same.first(where: { isExact($0.name) }) ?? same.first else {
        throw FileError(relativePath, "has no clean photo of that name in \(path)")
      }
      return .photo(item.path.shown, try item.data())
    case .list(let photos):
      // Lists hold whole paths: the photo's is the end of its entry's, and the shortest entry is not of a subfolder's
      // photo.
      let same = near.map { photos[$0] }.filter { Self.stem($0.file).suffix(wanted.count).elementsEqual(wanted) }
      let shortest = same.map { Self.stem($0.file).count }.min()
      let nearest = same.filter { Self.stem($0.file).count == shortest }
      let exact = nearest.filter { isExact($0.file) }
      let found = exact.isEmpty ? nearest : exact
      guard let photo = found.first else { throw FileError(relativePath, "is not in the list \(path)") }
      guard found.count == 1 else {
        throw FileError(relativePath, "may be \(found[0].file) or \(found[1].file) of the list \(path)")
      }
      return .boxes(photo)
    }
  }

  /// The components of a path, the last without extension.
  private static func stem(_ path: String) -> [String] {
    (path as NSString).deletingPathExtension.split(separator: "/").map(String.init)
  }
}
