import Foundation

/// Refuses what servers send in place of a file of tensors.
/// - Throws: `FileError` naming the file and saying what it is.
package func refuseDownloadedText(_ data: Data, path: String) throws {
  let start = String(decoding: data.prefix(64), as: UTF8.self).lowercased()
  if start.hasPrefix("version https://git-lfs") {
    throw FileError(path, "is a pointer of Git LFS, not the weights: fetch them with 'git lfs pull'")
  }
  if ["<!doctype", "<html", "<?xml"].contains(where: start.hasPrefix) {
    throw FileError(path, "is a web page, not a file of tensors: the download went wrong")
  }
}
